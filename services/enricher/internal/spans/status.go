package spans

import millracev1 "millrace.dev/proto/millrace/v1"

// Status is how an exchange ended, for its span and for metrics alike.
type Status struct {
	Error bool
	// Type is error.type; empty without an error.
	Type string
	// Message of the error, may be empty.
	Message string
}

// StatusOf gives the status of one side of an exchange. Its texts alias those of x.
func StatusOf(x *millracev1.Exchange) Status {
	st := outcomeStatus(x.Outcome)
	switch detail := x.Detail.(type) {
	case *millracev1.Exchange_Http:
		httpStatus(x, detail.Http, &st)
	case *millracev1.Exchange_Redis:
		redisStatus(detail.Redis, &st)
	}
	return st
}

// outcomeStatus: what was lost or given up by Millrace is no error of the application.
func outcomeStatus(outcome millracev1.Outcome) Status {
	switch outcome {
	case millracev1.Outcome_OUTCOME_CLOSED:
		return Status{Error: true, Type: "connection_closed"}
	case millracev1.Outcome_OUTCOME_RESET:
		return Status{Error: true, Type: "connection_reset"}
	default:
		return Status{}
	}
}

// AppendName appends the name of the exchange's span. route is the low-cardinality form of its path, empty if there is
// none.
func AppendName(dst []byte, x *millracev1.Exchange, route string) []byte {
	switch detail := x.Detail.(type) {
	case *millracev1.Exchange_Http:
		return appendHTTPName(dst, detail.Http, route)
	case *millracev1.Exchange_Redis:
		return append(dst, redisName(detail.Redis)...)
	default:
		return append(dst, x.Protocol.String()...)
	}
}
