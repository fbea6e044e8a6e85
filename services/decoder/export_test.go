package decoder

import "millrace.dev/lib/stage"

// NewSayingAll is New in the release after this one.
func NewSayingAll(o Options) stage.Processor { return newProcessor(o, true) }
