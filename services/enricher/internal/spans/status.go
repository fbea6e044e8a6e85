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

// StatusOf gives the status of one side of an exchange. Its texts alias those of x. What the protocol calls failed goes
// before how the connection ended, but for HTTP: there a response that was cut off is worse than its status.
func StatusOf(x *millracev1.Exchange) Status {
	st := outcomeStatus(x.Outcome)
	if x.ErrorType != "" {
		if st.Type == "" || x.Family != millracev1.Family_FAMILY_HTTP {
			st.Type = x.ErrorType
		}
		st.Error, st.Message = true, x.ErrorMessage
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
