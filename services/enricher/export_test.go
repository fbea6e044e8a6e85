package enricher

// Processors lets a benchmark drive a processor without a stream.
var Processors = processors
