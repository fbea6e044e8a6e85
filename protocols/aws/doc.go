// Package aws is what is known of calls of AWS services, and of servers that speak like them (S3 of MinIO, Ceph and
// others): exchanges of HTTP that are signed with Signature Version 4, or name their operation in X-Amz-Target.
//
// Everything comes from heads. Sources: the signing process
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html), the protocols of Smithy
// (https://smithy.io/2.0/aws/protocols/), and the operations of S3
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html).
//
// Not understood: operations that are named in a body (the query protocol of SNS, STS, IAM and others), codes of
// errors that are in a body (S3 has them there alone), and services whose operations are paths, but for S3 and Lambda's
// Invoke.
package aws
