package access

import (
	"slices"

	"millrace.dev/lib/bus"
)

// api is the prefix of requests to JetStream.
const api = "$JS.API."

func join(grants ...[]Grant) []Grant { return slices.Concat(grants...) }

// backing is the stream of a bucket.
func backing(bucket string) string { return "KV_" + bucket }

func output(subject, why string) []Grant { return []Grant{{subject, why}} }

// info lets a role see that a stream is there, and its settings.
func info(stream string) []Grant {
	return []Grant{{api + "STREAM.INFO." + stream, "settings, limits and counts of the stream"}}
}

// inform is info of a bucket.
func inform(bucket string) []Grant {
	return []Grant{{api + "STREAM.INFO." + backing(bucket), "settings of the bucket"}}
}

// read is what a stage does with its input stream, see lib/stage.
func read(stream string) []Grant {
	return join(info(stream), []Grant{
		{api + "CONSUMER.CREATE." + stream + ".*", "a consumer for each partition"},
		// With one filter only, the client puts it into the subject.
		{api + "CONSUMER.CREATE." + stream + ".*.millrace.>", "a consumer for each partition"},
		{api + "CONSUMER.MSG.NEXT." + stream + ".*", "pull records"},
		{api + "CONSUMER.DELETE." + stream + ".*", "end a consumer"},
		{api + "STREAM.MSG.GET." + stream, "whether a gap was a loss"},
		{bus.TimeSubject(stream), "marks of time"},
	})
}

// stage is what the runtime of a stage keeps in the buckets, see lib/stage. The keys begin with the stage's name, so
// that no service can touch the leases and checkpoints of another.
func stage(name string) []Grant {
	key := name + ".*"
	return join(
		inform(bus.BucketMembers), watch(bus.BucketMembers, key, "other instances"), put(bus.BucketMembers, key, "heartbeats"),
		inform(bus.BucketLeases), watch(bus.BucketLeases, key, "owners of partitions"), put(bus.BucketLeases, key, "leases"),
		get(bus.BucketLeases, key, "leases"),
		inform(bus.BucketCheckpoints), put(bus.BucketCheckpoints, name+".>", "checkpoints"), get(bus.BucketCheckpoints, name+".>", "checkpoints"),
	)
}

// upstream lets a stage see which instances of another are there, and which are stopping.
func upstream(name string) []Grant {
	return watch(bus.BucketMembers, name+".*", "instances that stop at the same time")
}

// watch lets a role follow keys of a bucket. A bucket's stream has no other way to make a consumer than with the keys
// in the subject, so that the server compares them with what is permitted.
func watch(bucket, keys, why string) []Grant {
	return []Grant{
		{api + "CONSUMER.CREATE." + backing(bucket) + ".*.$KV." + bucket + "." + keys, why},
		{api + "CONSUMER.DELETE." + backing(bucket) + ".*", "end a watch"},
		{"$JS.FC." + backing(bucket) + ".>", "flow control of a watch"},
	}
}

func put(bucket, keys, why string) []Grant { return []Grant{{"$KV." + bucket + "." + keys, why}} }

func get(bucket, keys, why string) []Grant {
	return []Grant{{api + "DIRECT.GET." + backing(bucket) + ".$KV." + bucket + "." + keys, why}}
}
