package message

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestVersions compares what is known of versions with the definitions of kmsg, which are those of the newest Kafka.
func TestVersions(t *testing.T) {
	t.Parallel()
	for key := range int16(kmsg.MaxKey + 1) {
		r := kmsg.RequestForKey(key)
		if r == nil {
			continue
		}
		if int(key) >= len(versions) || versions[key] < r.MaxVersion() {
			t.Errorf("%s (%d) has a version %d", kmsg.NameForKey(key), key, r.MaxVersion())
		}
		if a, ok := apiOf(key); ok && a.last < r.MaxVersion() {
			t.Errorf("%s (%d) of version %d is not read", kmsg.NameForKey(key), key, r.MaxVersion())
		}
	}
}

// filler fills messages of kmsg with anything.
type filler struct{ r *rand.Rand }

func (f filler) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if _, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			if f.r.IntN(3) == 0 {
				v.Addr().Interface().(*kmsg.Tags).Set(90+uint32(f.r.IntN(9)), f.bytes())
			}
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" || v.Field(i).Kind() == reflect.Struct {
				f.value(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(f.bytes())
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), f.r.IntN(4), 4))
		for i := range v.Len() {
			f.value(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(f.r.IntN(256)))
		}
	case reflect.Pointer:
		if f.r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.value(v.Elem())
		}
	case reflect.String:
		v.SetString(string(f.bytes()))
	case reflect.Bool:
		v.SetBool(f.r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.r.IntN(100)))
	default:
	}
}

func (f filler) bytes() []byte { return bytes.Repeat([]byte{'a' + byte(f.r.IntN(26))}, f.r.IntN(200)) }

// batch is a batch of count records that is compressed, so that what is in it is not looked at.
func (f filler) batch() (b []byte, count int) {
	count = f.r.IntN(50)
	batch := kmsg.RecordBatch{Magic: 2, Attributes: 1, NumRecords: int32(count), Records: f.bytes()}
	batch.Length = int32(len(batch.AppendTo(nil)) - 12)
	return batch.AppendTo(nil), count
}

// fact is what the test knows of a topic.
type fact struct {
	name          string
	id            [16]byte
	named, failed int
	code          int16
	messages      int
}

func (x *fact) partition(code int16, messages int) {
	x.named++
	x.messages += messages
	if code != 0 {
		x.failed++
		if x.code == 0 {
			x.code = code
		}
	}
}

// produce, produced, fetched and shared give messages their records, and say what is in them.
func (f filler) produce(m *kmsg.ProduceRequest) (all []fact) {
	for i := range m.Topics {
		x := fact{name: m.Topics[i].Topic, id: m.Topics[i].TopicID}
		for j := range m.Topics[i].Partitions {
			b, n := f.batch()
			m.Topics[i].Partitions[j].Records = b
			x.partition(0, n)
		}
		all = append(all, x)
	}
	return all
}

func (f filler) produced(m *kmsg.ProduceResponse) (all []fact) {
	for i := range m.Topics {
		x := fact{name: m.Topics[i].Topic, id: m.Topics[i].TopicID}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.ErrorCode = int16(f.r.IntN(3))
			x.partition(p.ErrorCode, 0)
		}
		all = append(all, x)
	}
	return all
}

func (f filler) fetched(m *kmsg.FetchResponse) (all []fact) {
	for i := range m.Topics {
		x := fact{name: m.Topics[i].Topic, id: m.Topics[i].TopicID}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.ErrorCode = int16(f.r.IntN(3))
			b, n := f.batch()
			p.RecordBatches = b
			x.partition(p.ErrorCode, n)
		}
		all = append(all, x)
	}
	return all
}

func (f filler) shared(m *kmsg.ShareFetchResponse) (all []fact) {
	for i := range m.Topics {
		x := fact{id: m.Topics[i].TopicID}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.ErrorCode = int16(f.r.IntN(3))
			p.Records, _ = f.batch()
			n := 0
			for k := range p.AcquiredRecords {
				a := &p.AcquiredRecords[k]
				a.LastOffset = a.FirstOffset + int64(f.r.IntN(9))
				n += int(a.LastOffset-a.FirstOffset) + 1
			}
			x.partition(p.ErrorCode, n)
		}
		all = append(all, x)
	}
	return all
}

// fill makes a message, and says what is in its topics and which group it names.
func (f filler) fill(m any) (all []fact, group string) {
	f.value(reflect.ValueOf(m).Elem())
	switch m := m.(type) {
	case *kmsg.ProduceRequest:
		return f.produce(m), ""
	case *kmsg.ProduceResponse:
		return f.produced(m), ""
	case *kmsg.FetchResponse:
		return f.fetched(m), ""
	case *kmsg.ShareFetchResponse:
		return f.shared(m), ""
	case *kmsg.MetadataResponse:
		for i := range m.Topics {
			x := fact{id: m.Topics[i].TopicID}
			if m.Topics[i].Topic != nil {
				x.name = *m.Topics[i].Topic
			}
			all = append(all, x)
		}
		return all, ""
	}
	for _, name := range []string{"Group", "GroupID"} {
		if g := reflect.Indirect(reflect.ValueOf(m).Elem().FieldByName(name)); g.IsValid() {
			group = reflect.Indirect(g).String()
		}
	}
	return nil, group
}

// TestDefinitions reads messages that kmsg writes, of each version of each API whose body is read.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	for key := range int16(kmsg.MaxKey + 1) {
		a, ok := apiOf(key)
		if !ok {
			continue
		}
		for version := range kmsg.RequestForKey(key).MaxVersion() + 1 {
			for seed := range uint64(50) {
				f := filler{rand.New(rand.NewPCG(seed, uint64(key)))}
				request := kmsg.RequestForKey(key)
				request.SetVersion(version)
				all, group := f.fill(request)
				client := string(f.bytes())
				framed := kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)).AppendRequest(nil, request, 7)
				compare(t, &Reader{Request: true}, framed, all, group, request)

				response := request.ResponseKind()
				all, _ = f.fill(response)
				if a.response == noStruct || version < a.least {
					all = nil
				}
				body := binary.BigEndian.AppendUint32(nil, 7)
				if response.IsFlexible() && key != ApiVersions {
					body = append(body, 0)
				}
				body = response.AppendTo(body)
				framed = append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
				asked := func(uint32) (int16, int16, bool) { return key, version, true }
				compare(t, &Reader{Asked: asked}, framed, all, "", response)
			}
		}
	}
}

func compare(t *testing.T, r *Reader, b []byte, want []fact, group string, message any) {
	t.Helper()
	facts := Facts{}
	r.Facts = &facts
	for at := 0; at < len(b); {
		n, _ := r.Next(b[at:])
		if at += n; r.Broken() || r.AtStart() && at < len(b) {
			t.Fatalf("%T is broken at %d: %+v", message, at, message)
		}
	}
	if !r.AtStart() || facts.Uncounted || string(facts.Group) != group || len(facts.Topics) != len(want) {
		t.Fatalf("%T: %+v, want %+v and group %q, of %+v", message, facts, want, group, message)
	}
	for i, x := range want {
		got := &facts.Topics[i]
		whole := fact{name: string(got.Name), id: got.ID, named: got.Named, failed: got.Failed, code: got.Code, messages: got.Messages}
		if x.id != ([16]byte{}) && got.ID == x.id {
			x.name = whole.name
		}
		if got.ID == ([16]byte{}) {
			x.id = got.ID
		}
		if _, metadata := message.(*kmsg.MetadataResponse); metadata {
			whole.named, whole.failed, whole.code = 0, 0, 0
		}
		if whole != x {
			t.Fatalf("%T: topic %d is %+v, want %+v", message, i, whole, x)
		}
	}
}
