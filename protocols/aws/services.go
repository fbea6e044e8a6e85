package aws

import "bytes"

// services are the names of services (serviceId in the models of SDKs) by their names in signatures. An API that
// customers make themselves (execute-api) and those that another layer reads (es, aoss) are left out.
var services = map[string]string{
	"acm": "ACM", "apigateway": "API Gateway", "appconfig": "AppConfig", "athena": "Athena", "autoscaling": "Auto Scaling", "batch": "Batch",
	"bedrock": "Bedrock", "cloudformation": "CloudFormation", "cloudfront": "CloudFront", "cloudtrail": "CloudTrail",
	"codebuild": "CodeBuild", "cognito-identity": "Cognito Identity", "cognito-idp": "Cognito Identity Provider",
	"dynamodb": "DynamoDB", "ec2": "EC2", "ecr": "ECR", "ecs": "ECS", "eks": "EKS", "elasticache": "ElastiCache",
	"elasticfilesystem": "EFS", "elasticloadbalancing": "Elastic Load Balancing", "events": "EventBridge", "firehose": "Firehose", "glue": "Glue",
	"iam": "IAM", "iot": "IoT", "kinesis": "Kinesis", "kms": "KMS", "lambda": "Lambda", "logs": "CloudWatch Logs",
	"monitoring": "CloudWatch", "rds": "RDS", "redshift": "Redshift", "route53": "Route 53", "s3": "S3", "s3express": "S3",
	"sagemaker": "SageMaker", "scheduler": "Scheduler", "secretsmanager": "Secrets Manager", "servicediscovery": "ServiceDiscovery",
	"ses": "SES", "sns": "SNS", "sqs": "SQS", "ssm": "SSM", "states": "SFN", "sts": "STS", "tagging": "Resource Groups Tagging API",
	"textract": "Textract", "xray": "XRay",
}

// targets are the names of services by what stands before the operation in X-Amz-Target.
var targets = map[string]string{
	"DynamoDB_20120810": "DynamoDB", "DynamoDBStreams_20120810": "DynamoDB Streams", "AmazonSQS": "SQS", "Kinesis_20131202": "Kinesis",
	"Firehose_20150804": "Firehose", "TrentService": "KMS", "secretsmanager": "Secrets Manager", "AmazonSSM": "SSM",
	"Logs_20140328": "CloudWatch Logs", "GraniteServiceVersion20100801": "CloudWatch", "AWSEvents": "EventBridge", "AWSStepFunctions": "SFN",
	"AmazonEC2ContainerServiceV20141113": "ECS", "AmazonEC2ContainerRegistry_V20150921": "ECR",
	"AWSCognitoIdentityService": "Cognito Identity", "AWSCognitoIdentityProviderService": "Cognito Identity Provider",
	"AmazonAthena": "Athena", "AWSGlue": "Glue", "SageMaker": "SageMaker", "CertificateManager": "ACM", "CodeBuild_20161006": "CodeBuild",
	"Textract": "Textract", "Route53AutoNaming_v20170314": "ServiceDiscovery",
}

func known(service string) bool { return services[service] != "" }

// Service gives the name of a service by that in signatures; empty if it is not known.
func Service(signed []byte) string { return services[string(signed)] }

// Target reads an X-Amz-Target: the service, and the operation.
func Target(value []byte) (service, operation string, ok bool) {
	dot := bytes.LastIndexByte(value, '.')
	if dot < 0 || !isOperation(value[dot+1:]) {
		return "", "", false
	}
	service = targets[string(value[:dot])]
	return service, string(value[dot+1:]), service != ""
}

// isOperation reports whether b may be the name of an operation: words that begin with capitals.
func isOperation(b []byte) bool {
	if len(b) < 3 || len(b) > 64 || !isCapital(b[0]) {
		return false
	}
	digits := 0
	for _, c := range b {
		switch {
		case isDigit(c):
			digits++
		case !isSmall(c) && !isCapital(c):
			return false
		}
	}
	return digits <= 2
}
