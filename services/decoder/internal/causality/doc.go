// Package causality knows, for one process, which request each task is serving, and so which request caused a call that
// a task makes.
//
// A task is a goroutine where there is one, else a thread. A call is caused by the request that its task is serving;
// or, where its task serves none, by the request that was being served by the task from which it has its work: by a
// hand-over that was seen, or because that task created it while it was serving. A task that is older than the request
// was not created for it.
//
// Tables are bounded: tasks that were not seen for long are forgotten, those with an open request last.
package causality
