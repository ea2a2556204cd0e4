// Package hclogx lets hashicorp/raft log into slog. It changes no level and drops nothing but Trace.
package hclogx

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// New bridges to an slog logger. SetLevel does nothing: the slog handler decides.
func New(l *slog.Logger) hclog.Logger { return &bridge{log: l} }

type bridge struct {
	log  *slog.Logger
	name string
	args []any
}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	case hclog.Trace:
		return slog.LevelDebug - 4
	default:
		return slog.LevelDebug
	}
}

// plain turns hclog's own wrappers into what slog can print.
func plain(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case hclog.Format:
			if len(v) > 0 {
				if f, ok := v[0].(string); ok {
					out[i] = fmt.Sprintf(f, v[1:]...)
					continue
				}
			}
			out[i] = fmt.Sprint(v...)
		case []byte:
			out[i] = fmt.Sprintf("%q", v)
		default:
			out[i] = a
		}
	}
	return out
}

func (b *bridge) enabled(l hclog.Level) bool { return b.log.Enabled(context.Background(), level(l)) }

// Log writes one line.
func (b *bridge) Log(l hclog.Level, msg string, args ...any) {
	if b.enabled(l) {
		b.log.Log(context.Background(), level(l), msg, plain(args)...)
	}
}

func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }
func (b *bridge) Info(msg string, args ...any)  { b.Log(hclog.Info, msg, args...) }
func (b *bridge) Warn(msg string, args ...any)  { b.Log(hclog.Warn, msg, args...) }
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }
func (b *bridge) IsTrace() bool                 { return b.enabled(hclog.Trace) }
func (b *bridge) IsDebug() bool                 { return b.enabled(hclog.Debug) }
func (b *bridge) IsInfo() bool                  { return b.enabled(hclog.Info) }
func (b *bridge) IsWarn() bool                  { return b.enabled(hclog.Warn) }
func (b *bridge) IsError() bool                 { return b.enabled(hclog.Error) }
func (b *bridge) ImpliedArgs() []any            { return b.args }
func (b *bridge) Name() string                  { return b.name }
func (b *bridge) SetLevel(hclog.Level)          {}

// GetLevel is the lowest level that is written.
func (b *bridge) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if b.enabled(l) {
			return l
		}
	}
	return hclog.Off
}

// With adds attributes to every line.
func (b *bridge) With(args ...any) hclog.Logger {
	all := append(append([]any{}, b.args...), args...)
	return &bridge{log: b.log.With(plain(args)...), name: b.name, args: all}
}

// Named adds to the name.
func (b *bridge) Named(name string) hclog.Logger {
	if b.name != "" {
		name = b.name + "." + name
	}
	return b.ResetNamed(name)
}

// ResetNamed sets the name.
func (b *bridge) ResetNamed(name string) hclog.Logger {
	return &bridge{log: b.log, name: name, args: b.args}
}

// StandardLogger writes each line at Info.
func (b *bridge) StandardLogger(o *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(b.StandardWriter(o), "", 0)
}

// StandardWriter writes each call as one line at Info.
func (b *bridge) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return writer{b} }

type writer struct{ b *bridge }

func (w writer) Write(p []byte) (int, error) {
	w.b.Info(string(p))
	return len(p), nil
}
