// Package release is what pods of the Helm chart run besides the services: it keeps the keys, credentials and
// certificates of a release in its Secrets ([Keys.Keep]) and its NATS servers up to date with them ([Push]), gives each
// node's capture a credential of its own ([Issuer]), and proves that data flows ([Flow]).
//
// The chart makes the Secrets, empty, and Helm removes them with the release. Only the Job of the keys fills them.
package release
