package spans

// ResourceEncoder writes a [millracev1.Resource] attribute by attribute.
type ResourceEncoder struct{ e encoder }

// NewResourceEncoder begins a resource.
func NewResourceEncoder() *ResourceEncoder {
	return &ResourceEncoder{e: encoder{attribute: 1<<3 | wireLength}}
}

// Text adds a string attribute; empty strings are left out.
func (r *ResourceEncoder) Text(key, value string) { text(&r.e, key, value) }

// Texts adds an attribute that is a list of strings, here of one.
func (r *ResourceEncoder) Texts(key, value string) {
	if value == "" {
		return
	}
	list := encoder{}
	appendField(&list, 1<<3|wireLength, valid(value))
	r.e.begin(key, 1+varintSize(uint64(len(list.b)))+len(list.b))
	appendField(&r.e, tagStrings, list.b)
}

// Number adds an integer attribute.
func (r *ResourceEncoder) Number(key string, value int64) { r.e.number(key, value) }

// Bytes gives the [millracev1.Resource].
func (r *ResourceEncoder) Bytes() []byte { return r.e.b }

// BatchHead gives the beginning of a [millracev1.SpanBatch] of the resource: schema version and resource. Spans follow
// by [AppendSpan].
func (r *ResourceEncoder) BatchHead() []byte {
	e := encoder{}
	e.varint(1<<3|wireVarint, 1)
	appendField(&e, 2<<3|wireLength, r.e.b)
	return e.b
}

// AppendSpan adds an encoded span to the bytes of a batch.
func AppendSpan(batch, span []byte) []byte {
	e := encoder{b: batch}
	appendField(&e, 3<<3|wireLength, span)
	return e.b
}
