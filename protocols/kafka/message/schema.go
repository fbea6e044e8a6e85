package message

// what is what a field says; nothing: it is of no interest.
type what uint8

const (
	nothing what = iota
	shown        // by what the protocol is recognised
	clientID
	group
	acks
	topic // a new topic begins
	topicName
	topicID
	partition // a new partition begins, with its index
	errorCode // of the partition
	failure   // of the whole response
	replica
	counted       // records that count elsewhere
	firstAcquired // offset of the first of records that a member of a share group acquired
	lastAcquired  // and of the last
	lastWhat
)

// kind is how a field is written.
type kind uint8

const (
	fixed   kind = iota // size bytes
	text                // a string, of which the length may say that there is none
	text16              // a string whose length has two bytes in flexible versions as well
	array               // of structs
	alone               // a struct
	numbers             // an array of fields of size bytes
	records             // record batches
	rest                // all that follows is of no interest
)

// field is a field of a struct in the versions from since to until.
type field struct {
	kind         kind
	what         what
	size         uint8
	of           structID
	since, until int16
}

// newest stands for versions without end.
const newest = 1 << 14

func num(size uint8) field               { return field{kind: fixed, size: size, until: newest} }
func str() field                         { return field{kind: text, until: newest} }
func list(of structID) field             { return field{kind: array, of: of, until: newest} }
func ints(size uint8) field              { return field{kind: numbers, size: size, until: newest} }
func (f field) is(w what) field          { f.what = w; return f }
func (f field) from(version int16) field { f.since = version; return f }
func (f field) to(version int16) field   { f.until = version; return f }

// structID names a struct.
type structID uint8

const (
	noStruct structID = iota
	requestHead
	responseHead
	produceRequest
	produceTopic
	producePartition
	produceResponse
	producedTopic
	producedPartition
	recordError
	fetchRequest
	fetchResponse
	fetchedTopic
	fetchedPartition
	abortedTransaction
	metadataRequest
	metadataResponse
	textRequest
	textFrom3Request
	broker
	metadataTopic
	metadataPartition
	groupRequest
	shareFetchRequest
	shareFetchResponse
	sharedTopic
	sharedPartition
	leader
	acquiredRecords
	lastStruct
)

// structs are the message definitions, as far as they are read. What flexible versions add at the end of each struct,
// the tagged fields, is not listed.
var structs = [lastStruct][]field{
	requestHead:  {{kind: text16, what: clientID, until: newest}},
	responseHead: {},

	produceRequest: {str().from(3), num(2).is(acks), num(4).is(shown), list(produceTopic)},
	produceTopic: {
		num(0).is(topic), str().is(topicName).to(12), num(16).is(topicID).from(13), list(producePartition),
	},
	producePartition: {num(4).is(partition), {kind: records, until: newest}},

	produceResponse: {list(producedTopic), {kind: rest, until: newest}},
	producedTopic:   {num(0).is(topic), str().is(topicName).to(12), num(16).is(topicID).from(13), list(producedPartition)},
	producedPartition: {
		num(4).is(partition), num(2).is(errorCode), num(8), num(8).from(2), num(8).from(5), list(recordError).from(8), str().from(8),
	},
	recordError: {num(4), str()},

	fetchRequest:  {num(4).is(replica).to(14), num(4).is(shown), num(4).is(shown), {kind: rest, until: newest}},
	fetchResponse: {num(4).from(1), num(2).is(failure).from(7), num(4).from(7), list(fetchedTopic), {kind: rest, until: newest}},
	fetchedTopic:  {num(0).is(topic), str().is(topicName).to(12), num(16).is(topicID).from(13), list(fetchedPartition)},
	fetchedPartition: {
		num(4).is(partition), num(2).is(errorCode), num(8), num(8).from(4), num(8).from(5), list(abortedTransaction).from(4),
		num(4).from(11),
		{kind: records, until: newest},
	},
	abortedTransaction: {num(8), num(8)},

	metadataRequest:  {num(4).is(shown).to(8), str().from(9), {kind: rest, until: newest}},
	textRequest:      {str(), {kind: rest, until: newest}},
	textFrom3Request: {str().from(3), {kind: rest, until: newest}},
	metadataResponse: {
		num(4).from(3), list(broker), str().from(2), num(4).from(1), list(metadataTopic), {kind: rest, until: newest},
	},
	broker: {num(4), str(), num(4), str().from(1)},
	metadataTopic: {
		num(0).is(topic), num(2), str().is(topicName), num(16).is(topicID).from(10), num(1).from(1), list(metadataPartition),
		num(4).from(8),
	},
	metadataPartition: {num(2), num(4), num(4), num(4).from(7), ints(4), ints(4), ints(4).from(5)},

	groupRequest: {str().is(group), {kind: rest, until: newest}},

	shareFetchRequest: {str().is(group), str(), num(4), num(4).is(shown), num(4).is(shown), {kind: rest, until: newest}},
	shareFetchResponse: {
		num(4), num(2).is(failure), str(), num(4).from(1), list(sharedTopic), {kind: rest, until: newest},
	},
	sharedTopic: {num(0).is(topic), num(16).is(topicID), list(sharedPartition)},
	sharedPartition: {
		num(4).is(partition), num(2).is(errorCode), str(), num(2), str(),
		{kind: alone, of: leader, until: newest},
		{kind: records, what: counted, until: newest},
		list(acquiredRecords),
	},
	leader:          {num(4), num(4)},
	acquiredRecords: {num(8).is(firstAcquired), num(8).is(lastAcquired), num(2)},
}

// api is what is read of an API in versions to last; those from flexible on have compact lengths and tagged fields.
type api struct {
	request, response structID
	flexible, last    int16
	// least is the first version of which the response is read.
	least int16
}

// apiOf gives what is read of an API. ok is false where nothing is.
func apiOf(key int16) (a api, ok bool) {
	switch key {
	case Produce:
		return api{request: produceRequest, response: produceResponse, flexible: 9, last: 13}, true
	case Fetch:
		return api{request: fetchRequest, response: fetchResponse, flexible: 12, last: 18}, true
	case Metadata:
		return api{request: metadataRequest, response: metadataResponse, flexible: 9, last: 13, least: 10}, true
	case SaslHandshake:
		return api{request: textRequest, flexible: newest, last: 1}, true
	case ApiVersions:
		return api{request: textFrom3Request, flexible: 3, last: 5}, true
	case 8: // OffsetCommit
		return api{request: groupRequest, flexible: 8, last: 10}, true
	case 11: // JoinGroup
		return api{request: groupRequest, flexible: 6, last: 9}, true
	case 12, 14: // Heartbeat, SyncGroup
		return api{request: groupRequest, flexible: 4, last: 5}, true
	case 13: // LeaveGroup
		return api{request: groupRequest, flexible: 4, last: 5}, true
	case 68, 76, 88: // ConsumerGroupHeartbeat, ShareGroupHeartbeat, StreamsGroupHeartbeat
		return api{request: groupRequest, flexible: 0, last: 1}, true
	case ShareFetch:
		return api{request: shareFetchRequest, response: shareFetchResponse, flexible: 0, last: 2}, true
	case 79: // ShareAcknowledge
		return api{request: groupRequest, flexible: 0, last: 2}, true
	}
	return api{}, false
}
