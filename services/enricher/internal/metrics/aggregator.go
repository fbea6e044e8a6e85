package metrics

import (
	"encoding/binary"

	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/resource"
	"millrace.dev/services/enricher/internal/route"
)

// Aggregator adds up the exchanges of one partition. It implements [join.Observer].
//
// Everything that has to do with series lives for one window: a window is published from what happened in it alone, and
// a service that is gone leaves nothing behind.
type Aggregator struct {
	settings  *Settings
	partition int
	counters  *gauges
	router    *route.Router

	// epoch is the time at which the state began from nothing; 0 before that.
	epoch int64
	// numbers of the batches published last, by metric partition.
	numbers []uint64
	// now is the time that was told last, nanoseconds since the Unix epoch.
	now int64
	// start and end of the window; 0 while nothing was added to one.
	start, end int64

	// series of the window by metric, resource and attributes, and how many there are of each metric and service.
	// Series of what goes beyond the limits are not counted there.
	series  map[string]*series
	counts  map[scope]int
	counted int
	// groups are the series that exchanges with equal facts add to, so that one look-up finds them all. They can be
	// made again at any time.
	groups map[string]*group
	// foreign are metrics of restored series that differ from those of the settings.
	foreign []*metric

	// What is known of processes, derived from their facts.
	sources  map[*resource.Identity]*source
	origins  map[string]*origin
	services map[string]uint32
	numbered uint32

	facts facts
	// Memory that is used again.
	key, seriesKey, attributes []byte
	values                     [][]byte
	freed                      map[*metric][]*series
}

// scope is what the limit of series is for.
type scope struct{ metric, service uint32 }

// group is the series that one kind of exchange adds to.
type group struct {
	slots []slot
	// overflowing is how many of them are series of what is beyond the limits.
	overflowing int
}

type slot struct {
	series   *series
	quantity quantity
}

// maxGroups bounds the memory of groups, which an instance has for each of its partitions: twice the default limit of
// series of one metric and service. Where attributes have more values than the limits allow, each of them is a group.
const maxGroups = 4096

// New makes the aggregator of a partition that knows nothing.
func New(partition int, settings *Settings, counters *Counters) *Aggregator {
	a := &Aggregator{
		settings: settings, partition: partition, counters: counters.of(partition), router: route.NewRouter(),
		numbers: make([]uint64, settings.partitions), freed: map[*metric][]*series{},
	}
	a.forgetSources()
	a.forgetWindow()
	return a
}

func (a *Aggregator) forgetSources() {
	a.sources, a.origins, a.services = map[*resource.Identity]*source{}, map[string]*origin{}, map[string]uint32{}
}

func (a *Aggregator) forgetWindow() {
	a.start, a.end, a.counted = 0, 0, 0
	a.series, a.counts, a.groups, a.foreign = map[string]*series{}, map[scope]int{}, map[string]*group{}, nil
}

// Begin implements [join.Observer].
func (a *Aggregator) Begin(at int64) {
	if a.epoch == 0 {
		a.epoch = at
	}
}

// Advance implements [join.Observer]: it publishes the window that has ended.
func (a *Aggregator) Advance(now int64, out stage.Output) {
	a.now = now
	if a.end != 0 && now >= a.end {
		a.finish(out)
	}
}

// Finish implements [join.Observer]: it publishes the window although it has not ended. What comes afterwards in its
// time makes another window of the same times.
func (a *Aggregator) Finish(out stage.Output) {
	if a.end != 0 {
		a.finish(out)
	}
}

// Forget implements [join.Observer]: the window may have been published, and numbers above those that are known used.
// So the window goes, and a new epoch begins with the next record.
func (a *Aggregator) Forget() {
	a.recycle()
	a.forgetWindow()
	a.epoch = 0
	clear(a.numbers)
}

// finish publishes the window and forgets it.
func (a *Aggregator) finish(out stage.Output) {
	a.publish(out)
	a.recycle()
	a.forgetWindow()
	if len(a.sources) >= maxSources/2 || len(a.origins) >= maxSources {
		a.forgetSources() // Nothing refers to them between windows.
	}
}

// Observe implements [join.Observer].
func (a *Aggregator) Observe(j *join.Joined) join.Decision {
	own := a.source(j.Process)
	var peer *source
	if j.PeerProcess != nil {
		peer = a.source(j.PeerProcess)
	}
	f := &a.facts
	f.read(j, own, peer, a.settings.slots)
	policy := own.policy
	found := route.Result{}
	if f.path != "" {
		found = a.router.Route(policy.routes, route.Request{Service: own.name, Path: f.path, Outgoing: f.client, Status: f.httpStatus})
		f.route = found.Route
	}
	if policy.metrics && !found.NoMetric && !j.Again {
		side := 0
		if f.client {
			side = 1
		}
		if plan := policy.plans[f.kind][side]; plan != nil {
			f.measure()
			if plan.edges {
				f.findEdge()
			}
			a.add(plan)
		}
	}
	return join.Decision{Route: found.Route, Drop: found.NoSpan || !policy.spans}
}

// openWindow begins a window where there is none.
func (a *Aggregator) openWindow() {
	if a.end == 0 {
		a.start = a.now - a.now%a.settings.interval
		a.end = a.start + a.settings.interval
	}
}

// add adds the exchange to the series of its facts.
func (a *Aggregator) add(plan *plan) {
	a.openWindow()
	f := &a.facts
	key := binary.LittleEndian.AppendUint32(a.key[:0], plan.id)
	key = binary.LittleEndian.AppendUint32(key, f.has)
	key = binary.LittleEndian.AppendUint32(key, f.source.origins[f.source.policy.level].id)
	for _, field := range plan.fields {
		key = field.append(key, f)
	}
	a.key = key
	g := a.groups[string(key)]
	if g == nil {
		g = a.newGroup(plan)
	}
	for i := range g.slots {
		g.slots[i].series.add(f.measured[g.slots[i].quantity], f)
	}
	if g.overflowing > 0 {
		a.counters.overflow.Add(float64(g.overflowing))
	}
}

// keyHead is the length of the part of a key that comes before the values.
const keyHead = 12

// newGroup finds or makes the series of the exchange whose key was put together.
func (a *Aggregator) newGroup(plan *plan) *group {
	f := &a.facts
	a.values = splitValues(a.values[:0], a.key[keyHead:])
	a.inform(f.source)
	g := &group{}
	for i := range plan.meters {
		m := &plan.meters[i]
		if f.has&(1<<m.quantity) == 0 {
			continue
		}
		a.attributes = a.attributes[:0]
		for _, index := range m.attributes {
			a.attributes = appendAttribute(a.attributes, plan.fields[index].name, a.values[index])
		}
		s := a.find(m.metric, f.source.origins[m.level], a.attributes)
		if s.overflow {
			g.overflowing++
		}
		g.slots = append(g.slots, slot{s, m.quantity})
	}
	if len(a.groups) >= maxGroups {
		clear(a.groups)
	}
	a.groups[string(a.key)] = g
	return g
}

// inform gives the metrics about the resources of a process, once in a window.
func (a *Aggregator) inform(s *source) {
	for _, in := range s.policy.infos {
		a.attributes = a.attributes[:0]
		if in.host {
			a.attributes = appendAttribute(a.attributes, "host.name", appendText(nil, s.host))
		}
		made := a.lookUp(in.metric, s.origins[in.level], a.attributes)
		if made == nil {
			made = a.make(in.metric, s.origins[in.level])
		}
		made.sum = 1
	}
}

// find gives the series, a new one if the limits allow it, else that of what is beyond them.
func (a *Aggregator) find(m *metric, o *origin, attributes []byte) *series {
	if s := a.lookUp(m, o, attributes); s != nil {
		return s
	}
	where := scope{m.index, o.service}
	if a.counts[where] < a.settings.cardinalityLimit && a.counted < a.settings.maxSeries {
		a.counts[where]++
		a.counted++
		return a.make(m, o)
	}
	if s := a.lookUp(m, o, overflowAttribute); s != nil {
		return s
	}
	s := a.make(m, o)
	s.overflow = true
	return s
}

// lookUp gives the series of the window; nil if there is none. It leaves the key of the series behind.
func (a *Aggregator) lookUp(m *metric, o *origin, attributes []byte) *series {
	a.seriesKey = binary.LittleEndian.AppendUint32(a.seriesKey[:0], m.index)
	a.seriesKey = binary.LittleEndian.AppendUint32(a.seriesKey, o.id)
	a.seriesKey = append(a.seriesKey, attributes...)
	return a.series[string(a.seriesKey)]
}

// seriesKeyHead is the length of the part of the key of a series that comes before its attributes.
const seriesKeyHead = 8

// make makes the series that lookUp did not find. Its attributes are the end of its key: a crowd of series is mostly
// made of such texts.
func (a *Aggregator) make(m *metric, o *origin) *series {
	var s *series
	if free := a.freed[m]; len(free) > 0 {
		s = free[len(free)-1]
		a.freed[m] = free[:len(free)-1]
	} else {
		s = newSeries(m)
	}
	key := string(a.seriesKey)
	s.origin, s.attributes = o, key[seriesKeyHead:]
	a.series[key] = s
	return s
}

// maxFreed bounds the series that are kept for the next window, of each metric: enough for a service as it should be. A
// crowd of series is left to the collector, or every partition would keep the memory of the largest one it ever saw.
const maxFreed = 256

// recycle takes the series of the window back.
func (a *Aggregator) recycle() {
	for _, s := range a.series {
		if m := s.metric; int(m.index) < len(a.settings.metrics) && len(a.freed[m]) < maxFreed {
			s.reset()
			a.freed[m] = append(a.freed[m], s)
		}
	}
}
