// Package secret judges by names and by shapes: which name says that its value is a credential, and which text looks
// like one whatever its name is. The redaction of payload and of process arguments both ask it.
//
// A name is judged by its words, so that userPassword, user_password, USER-PASSWORD, user[password] and user%5Fpassword
// are one. A text is judged by what random texts have and words do not: long runs that mix digits and letters or change
// their case all the time. Both are allowed to be wrong in one direction only: what is no secret may be taken for one.
//
// The functions do not allocate.
package secret
