// Command awscalls calls S3 and DynamoDB with the SDK of AWS, and prints its own account: a line for each call with the
// operation and the error's code. Its arguments are the address of a server of S3 and that of one of DynamoDB.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func main() {
	ctx := context.Background()
	keys := credentials.NewStaticCredentialsProvider("AKIAQ3EGRZX5EXAMPLEQ", "Hunter2CorrectHorseBatteryStaple", "")
	once := func() aws.Retryer { return aws.NopRetryer{} }
	files := s3.New(s3.Options{
		Region: "eu-west-3", Credentials: keys, BaseEndpoint: aws.String("http://" + os.Args[1]), UsePathStyle: true, Retryer: once(),
	})
	tables := dynamodb.New(dynamodb.Options{
		Region: "eu-west-3", Credentials: keys, BaseEndpoint: aws.String("http://" + os.Args[2]), Retryer: once(),
	})
	said := func(operation string, err error) {
		code := ""
		if e := smithy.APIError(nil); errors.As(err, &e) {
			code = e.ErrorCode()
		} else if err != nil {
			fmt.Fprintln(os.Stderr, operation, err)
			os.Exit(1)
		}
		fmt.Println(operation, code)
	}
	bucket, key := aws.String("photos"), aws.String("cats/tom.jpg")
	_, err := files.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-3"},
	})
	said("S3.CreateBucket", err)
	_, err = files.ListBuckets(ctx, &s3.ListBucketsInput{})
	said("S3.ListBuckets", err)
	_, err = files.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("a cat")})
	said("S3.PutObject", err)
	_, err = files.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	said("S3.GetObject", err)
	_, err = files.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	said("S3.HeadObject", err)
	_, err = files.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	said("S3.ListObjectsV2", err)
	_, err = files.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String("photos/cats/tom.jpg")})
	said("S3.CopyObject", err)
	upload, err := files.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("big")})
	said("S3.CreateMultipartUpload", err)
	part, err := files.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: bucket, Key: aws.String("big"), UploadId: upload.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader(strings.Repeat("x", 100)),
	})
	said("S3.UploadPart", err)
	_, err = files.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: aws.String("big"), UploadId: upload.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}},
	})
	said("S3.CompleteMultipartUpload", err)
	_, err = files.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	said("S3.DeleteObject", err)
	_, err = files.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	said("S3.GetObject", err)
	id := map[string]dynamotypes.AttributeValue{"id": &dynamotypes.AttributeValueMemberS{Value: "Hunter2-Correct-Horse"}}
	_, err = tables.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("patients"), Item: id})
	said("DynamoDB.PutItem", err)
	_, err = tables.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("none"), Key: id})
	said("DynamoDB.GetItem", err)
}
