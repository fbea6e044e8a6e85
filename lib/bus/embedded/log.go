package embedded

import (
	"context"
	"fmt"
	"log/slog"
)

// bridge hands what the server says to slog.
type bridge struct {
	log   *slog.Logger
	fatal chan error
}

func (b *bridge) say(level slog.Level, format string, v []any) {
	if b.log.Enabled(context.Background(), level) {
		b.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
	}
}

// Noticef is at debug level: the banner of a server that nobody asked for is noise.
func (b *bridge) Noticef(format string, v ...any) { b.say(slog.LevelDebug, format, v) }
func (b *bridge) Warnf(format string, v ...any)   { b.say(slog.LevelWarn, format, v) }
func (b *bridge) Errorf(format string, v ...any)  { b.say(slog.LevelError, format, v) }
func (b *bridge) Debugf(format string, v ...any)  { b.say(slog.LevelDebug, format, v) }
func (b *bridge) Tracef(format string, v ...any)  { b.say(slog.LevelDebug, format, v) }

// Fatalf does not end the process, which is not the server's.
func (b *bridge) Fatalf(format string, v ...any) {
	b.say(slog.LevelError, format, v)
	select {
	case b.fatal <- fmt.Errorf(format, v...):
	default:
	}
}
