package rawlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"truceline/treaty"
)

// Letter is a message that could not be decoded, or not all of it.
type Letter struct {
	// Position is the letter's own, set when it is read back; it names the letter.
	Position Position
	// Origin is the message's position in the log.
	Origin Position
	// Decoder is the name and version that failed, Reason what it said.
	Decoder, Reason string
	// Done are the content ids of the detections that were decoded from it: redriving passes them over.
	Done []treaty.Hash
	Raw  Raw

	begun bool     // redriving it was begun, perhaps in vain
	since Position // the log's end before that
}

// Dead keeps letters. They are synced by SyncDead or the next SetCheckpoint: until then the message itself is still ahead
// of the checkpoint and would be decoded again. A letter whose origin is not newer than the newest kept is passed over,
// because after a crash messages are decoded again.
func (l *Log) Dead(letters ...Letter) error {
	var payloads [][]byte
	l.mu.Lock()
	last := l.lastOrigin
	l.mu.Unlock()
	for i := range letters {
		m := &letters[i]
		if m.Origin <= last {
			continue
		}
		last = m.Origin
		b := binary.BigEndian.AppendUint64([]byte{kindLetter}, uint64(m.Origin))
		b = appendWord(b, m.Decoder)
		b = appendWord(b, m.Reason)
		b = appendHashes(b, m.Done)
		payloads = append(payloads, appendRaw(b, &m.Raw))
	}
	if len(payloads) == 0 {
		return nil
	}
	if _, _, err := l.dead.append(payloads...); err != nil {
		return err
	}
	dropped, err := l.dead.trim(l.cfg.MaxDeadBytes, Position(1<<63))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastOrigin = last
	if dropped > 0 {
		l.dropped += dropped
		l.cfg.Log.Error("dead letters over their bound: the oldest are dropped. Redrive or raise the bound",
			slog.Int("segments", dropped), slog.Int64("bound", l.cfg.MaxDeadBytes))
	}
	return err
}

// SyncDead makes all dead letters survive a power cut.
func (l *Log) SyncDead() error {
	l.dead.mu.Lock()
	end := l.dead.end
	l.dead.mu.Unlock()
	return l.dead.syncTo(end)
}

// Redrive puts a letter's message at the end of the log again, to be decoded once more, and marks the letter as resolved.
// A crash in between neither loses the message nor adds it twice: what was about to be done is written down first.
func (l *Log) Redrive(m Letter) error {
	done, err := l.redriven(m)
	if err != nil {
		return err
	}
	if !done {
		intent := binary.BigEndian.AppendUint64([]byte{kindIntent}, uint64(m.Position))
		if err := l.mark(binary.BigEndian.AppendUint64(intent, uint64(l.End()))); err != nil {
			return err
		}
		b := appendHashes(binary.BigEndian.AppendUint64([]byte{kindRedriven}, uint64(m.Position)), m.Done)
		b = appendRaw(b, &m.Raw)
		if err := l.room(int64(frameHead + len(b))); err != nil {
			return err
		}
		_, end, err := l.raw.append(b)
		if err != nil {
			return err
		}
		if err := l.raw.syncTo(end); err != nil {
			return err
		}
	}
	return l.mark(binary.BigEndian.AppendUint64([]byte{kindResolved}, uint64(m.Position)))
}

// redriven says whether a letter whose redriving was begun before a crash is in the log already.
func (l *Log) redriven(m Letter) (bool, error) {
	if !m.begun {
		return false, nil
	}
	r := l.Reader(m.since)
	defer r.Close()
	for {
		e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case errors.Is(err, ErrDamaged):
			continue
		case err != nil:
			return false, err
		case e.letter == m.Position:
			return true, nil
		}
	}
}

// mark appends one frame to the dead letters, synced.
func (l *Log) mark(payload []byte) error {
	_, end, err := l.dead.append(payload)
	if err != nil {
		return err
	}
	return l.dead.syncTo(end)
}

// Letters calls do for every dead letter that is not resolved, oldest first, until do returns an error. Damage is logged
// and read around.
func (l *Log) Letters(do func(Letter) error) error {
	resolved, begun := map[Position]bool{}, map[Position]Position{}
	err := l.scanDead(0, func(kind byte, m Letter) error {
		switch kind {
		case kindResolved:
			resolved[m.Position] = true
		case kindIntent:
			if _, again := begun[m.Position]; !again {
				begun[m.Position] = m.since
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.scanDead(0, func(kind byte, m Letter) error {
		if kind != kindLetter || resolved[m.Position] {
			return nil
		}
		m.since, m.begun = begun[m.Position]
		return do(m)
	})
}

// scanDead reads letters and marks from a position on.
func (l *Log) scanDead(from Position, do func(kind byte, m Letter) error) error {
	if err := l.SyncDead(); err != nil {
		return err
	}
	f := frames{l: l.dead, pos: from}
	defer f.close()
	for {
		payload, at, _, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrDamaged):
			l.cfg.Log.Error("dead letters are damaged", slog.Any("error", err))
			continue
		case err != nil:
			return err
		}
		c := cursor{b: payload}
		var m Letter
		kind := byte(c.uint(1))
		switch kind {
		case kindLetter:
			m.Position, m.Origin = at, Position(c.uint(8))
			m.Decoder, m.Reason = c.word(), c.word()
			m.Done = c.hashes()
			m.Raw = c.raw()
		case kindResolved:
			m.Position = Position(c.uint(8))
		case kindIntent:
			m.Position, m.since = Position(c.uint(8)), Position(c.uint(8))
		default:
			c.bad = true
		}
		if err := c.end("dead letter"); err != nil {
			l.cfg.Log.Error("a dead letter is damaged", slog.Any("error", err))
			continue
		}
		if err := do(kind, m); err != nil {
			return err
		}
	}
}

// newestOrigin is the origin of the newest letter. Origins rise, so the newest segment that holds a letter has it.
func (l *Log) newestOrigin() (Position, error) {
	var newest Position
	for i := len(l.dead.files) - 1; i >= 0 && newest == 0; i-- {
		err := l.scanDead(l.dead.files[i].base, func(_ byte, m Letter) error {
			newest = max(newest, m.Origin)
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("read dead letters: %w", err)
		}
	}
	return newest, nil
}
