package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"

	"millrace.dev/cmd/millrace/internal/servicefeed"
	"millrace.dev/cmd/millrace/internal/spanfeed"
	"millrace.dev/cmd/millrace/internal/spanview"
)

// Options of [Show].
type Options struct {
	Bus      *bus.Conn
	Gatherer prometheus.Gatherer // where capture's own metrics are
	Node     string
	Notices  *Notices
	Terminal bool // Out is a terminal that can be repainted
	Out      io.Writer
}

// plainInterval is how often the view is printed where it cannot be repainted.
const plainInterval = 10 * time.Second

// Show feeds the model from the bus and shows it until ctx ends or the user quits.
func Show(ctx context.Context, o Options) error {
	s := &state{model: NewModel(time.Now()), options: o}
	var skimmer spanview.Skimmer
	feed, err := spanfeed.SubscribeEncoded(o.Bus, func(batch []byte) error {
		heads, err := skimmer.Read(batch)
		if err != nil {
			return err
		}
		now := time.Now()
		s.mutex.Lock()
		defer s.mutex.Unlock()
		for i := range heads {
			s.model.Add(now, &heads[i], skimmer.Span)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer feed.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.services = servicefeed.New()
	go func() {
		if err := s.services.Run(ctx, o.Bus); err != nil {
			fmt.Fprintf(o.Notices, "services without traffic are not shown: %v\n", err)
		}
	}()
	if o.Terminal {
		return s.repaint(ctx)
	}
	return s.print(ctx)
}

type state struct {
	services *servicefeed.Feed
	mutex    sync.Mutex
	model    *Model
	options  Options
	width    int
	height   int
}

func (s *state) render(width, height int) string {
	status := readStatus(s.options.Gatherer)
	status.Node, status.Notice = s.options.Node, s.options.Notices.Last()
	status.Services = s.services.Services()
	now := time.Now()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.model.Tick(now)
	return Render(s.model, status, now, width, height)
}

func (s *state) print(ctx context.Context) error {
	ticker := time.NewTicker(plainInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if _, err := fmt.Fprintln(s.options.Out, s.render(160, 60)+"\n"); err != nil {
				return fmt.Errorf("print the live view: %w", err)
			}
		}
	}
}

func (s *state) repaint(ctx context.Context) error {
	program := tea.NewProgram(&screen{state: s}, tea.WithContext(ctx), tea.WithAltScreen(), tea.WithOutput(s.options.Out), tea.WithoutSignalHandler())
	if _, err := program.Run(); err != nil && !errors.Is(err, tea.ErrProgramKilled) && ctx.Err() == nil {
		return fmt.Errorf("live view: %w", err)
	}
	return nil
}

// screen adapts state to bubbletea.
type screen struct{ state *state }

type tick struct{}

func nextTick() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return tick{} }) }

func (s *screen) Init() tea.Cmd { return nextTick() }

func (s *screen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tea.WindowSizeMsg:
		s.state.width, s.state.height = m.Width, m.Height
	case tea.KeyMsg:
		if k := m.String(); k == "q" || k == "ctrl+c" || k == "esc" {
			return s, tea.Quit
		}
	case tick:
		return s, nextTick()
	}
	return s, nil
}

func (s *screen) View() string {
	if s.state.width == 0 {
		return ""
	}
	return s.state.render(s.state.width, s.state.height)
}

// readStatus takes capture's gauges out of the process's own metrics.
func readStatus(g prometheus.Gatherer) Status {
	var status Status
	families, err := g.Gather()
	if err != nil {
		status.Notice = err.Error()
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "millrace_capture_processes":
				status.Processes += int(m.GetGauge().GetValue())
			case "millrace_capture_lost_total":
				status.Lost += uint64(m.GetCounter().GetValue())
			}
		}
	}
	return status
}

// Notices keeps the last line of the log for the screen. It is an io.Writer for slog's handlers, safe for concurrent
// use.
type Notices struct {
	mutex sync.Mutex
	last  string
	at    time.Time
}

// noticeTime is how long a line stays on the screen.
const noticeTime = 30 * time.Second

// Write keeps the last line of p.
func (n *Notices) Write(p []byte) (int, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	lines := strings.Split(strings.TrimRight(string(p), "\n"), "\n")
	n.last, n.at = lines[len(lines)-1], time.Now()
	return len(p), nil
}

// Last gives the line last written, or nothing if it is old.
func (n *Notices) Last() string {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if time.Since(n.at) > noticeTime {
		return ""
	}
	return n.last
}
