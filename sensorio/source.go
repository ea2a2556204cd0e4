package sensorio

import (
	"context"
	"errors"
	"fmt"

	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

// Raw is one message of a source, byte for byte.
type Raw = rawlog.Raw

var (
	// ErrEnd: the source has nothing more and never will; a file is read to its end.
	ErrEnd = errors.New("end of the source")
	// ErrNotConnected: the source has lost its other end; Connect again.
	ErrNotConnected = errors.New("not connected")
)

// Source is a transport. One goroutine calls Connect, Read and Close; only an Ack may be called from another.
type Source interface {
	// Connect is retried with backoff until it returns nil.
	Connect(ctx context.Context) error
	// Read blocks for the next message. A message that is malformed is a message all the same: the decoder says so, and
	// the source goes on. Errors: ErrEnd, ErrNotConnected, the context's; any other is logged and followed by Connect.
	// Raw.SourceID and Raw.Recv are set by the intake where the source leaves them empty.
	Read(ctx context.Context) (Raw, Ack, error)
	Close() error
}

// Ack is called exactly once for each message: with nil when it survives a power cut here, and only then; otherwise with
// the reason why it is not kept, so that the sender keeps it and sends it again. A source that cannot tell its sender
// returns a nil Ack from Read.
type Ack func(ctx context.Context, err error) error

// Decoder turns one message into detections: a pure function of the message and of the decoder's own configuration, so
// that the same bytes decode to the same detections after a crash, or years later.
type Decoder interface {
	// Name is the decoder's name and version, such as "ndjson/1"; dead letters carry it.
	Name() string
	// Decode returns what it could read and, for what it could not, an error that says what to do about it. Both may be
	// set: the good detections go on, and the message goes to the dead letters with the error.
	Decode(Raw) ([]treaty.Detection, error)
}

// SourceConfig is one input of the intake.
type SourceConfig struct {
	// ID names it in metrics, logs and the raw log. Keep it when the configuration changes: messages in the raw log find
	// their decoder by it.
	ID string
	// Source is the transport; nil for a source that is pushed to by Intake.Handler.
	Source  Source
	Decoder Decoder
	// Replay marks a transport that plays recordings: nothing from it may be REAL.
	Replay bool
	// Sensors are the sensors that may report here; empty: any. A sensor's name in a payload is a claim, and this is what
	// binds it to the channel.
	Sensors []treaty.SensorID
	// Trust is the best trust that this transport can give; a detection that claims better is lowered to it. 0: as
	// claimed.
	Trust treaty.Trust
	// QueueMessages and QueueBytes bound what is read and not yet in the raw log; 0: 1,000 and 8 MiB.
	QueueMessages int
	QueueBytes    int
}

const (
	defaultQueueMessages = 1000
	defaultQueueBytes    = 8 << 20
)

func (c SourceConfig) withDefaults() SourceConfig {
	if c.QueueMessages == 0 {
		c.QueueMessages = defaultQueueMessages
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = defaultQueueBytes
	}
	return c
}

// Validate reports all problems.
func (c SourceConfig) Validate() error {
	var errs []error
	if c.ID == "" || len(c.ID) > treaty.MaxName {
		errs = append(errs, fmt.Errorf("source %q: its id must have 1 to %d bytes", c.ID, treaty.MaxName))
	}
	if c.Decoder == nil {
		errs = append(errs, fmt.Errorf("source %q: no decoder", c.ID))
	}
	if c.QueueMessages < 0 || c.QueueBytes < 0 {
		errs = append(errs, fmt.Errorf("source %q: a bound of its queue is negative", c.ID))
	}
	if c.Trust != 0 && !c.Trust.Valid() {
		errs = append(errs, fmt.Errorf("source %q: unknown trust %d", c.ID, c.Trust))
	}
	return errors.Join(errs...)
}
