package ledger

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// Machine is the tally, seen from here: what turns the order of records into leaves. It is deterministic.
type Machine interface {
	// Apply counts one record. taken says whether it enters the ledger; a record that is not taken changes nothing and
	// derives nothing, so that the entries alone rebuild the state. derived are the leaves that follow it, each at most
	// treaty.MaxRecord bytes; they belong to the ledger afterwards.
	Apply(r *treaty.Record) (taken bool, derived [][]byte)
	// LedgerTime never goes back (design section 6).
	LedgerTime() treaty.Time
	// Closed is the first window that is not closed for everybody; it never goes back (design section 6).
	Closed() treaty.Window
	// Encode is the whole state; Config.Load reads it.
	Encode() []byte
	// Clone is a copy that shares nothing that changes.
	Clone() Machine
}

// Config is what a ledger needs.
type Config struct {
	DB *pebble.DB
	// Prefix is the first byte of all keys of the ledger in DB; 0 means 'l'.
	Prefix byte
	Net    *treaty.Network
	// New is the tally at the start, Load the tally from Machine.Encode.
	New  func() Machine
	Load func([]byte) (Machine, error)
	// Verify checks the signatures of records that a peer sent (Graft). nil means Net.VerifyAll.
	Verify func([]*treaty.Record) error
	// MarkEvery is how many leaves lie between two stored tally states; 0 means 4096: replaying that many on opening
	// takes about a tenth of a second.
	MarkEvery uint64
	// MaxTentative bounds the leaves of the tentative layer, and of one Graft; 0 means 1<<20, half an hour of 500 a second.
	MaxTentative uint64
	// MaxTentativeBytes bounds their entries; 0 means 1 GiB: 1<<20 leaves of 1 KiB.
	MaxTentativeBytes uint64
	Log               *slog.Logger
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("ledger config: %s", what))
		}
	}
	need(c.DB != nil, "DB is missing")
	need(c.Net != nil, "Net is missing")
	need(c.New != nil, "New is missing")
	need(c.Load != nil, "Load is missing")
	need(c.Log != nil, "Log is missing")
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Prefix == 0 {
		c.Prefix = 'l'
	}
	if c.MarkEvery == 0 {
		c.MarkEvery = 4096
	}
	if c.MaxTentative == 0 {
		c.MaxTentative = 1 << 20
	}
	if c.MaxTentativeBytes == 0 {
		c.MaxTentativeBytes = 1 << 30
	}
	if c.Verify == nil {
		net := c.Net
		c.Verify = func(rs []*treaty.Record) error {
			signed := make([]*treaty.Signed, len(rs))
			for i, r := range rs {
				signed[i] = r.Signed
			}
			for i, err := range net.VerifyAll(signed) {
				if err != nil {
					return fmt.Errorf("record %s of %s: %w", rs[i].ID.Short(), rs[i].Nation, err)
				}
			}
			return nil
		}
	}
	return c
}

// What can be wrong with what the ledger is asked.
var (
	// ErrNotHeld: this node has not applied exactly that checkpoint. Fetch what is missing and Graft it.
	ErrNotHeld = errors.New("checkpoint not held")
	// ErrOld: a certificate at or below the last one, which agrees with it. Nothing to do.
	ErrOld = errors.New("already certified")
	// ErrConflict: a verified certificate contradicts the final ledger. More than f nations lied, or this store is not
	// what it was: keep both certificates as evidence, stop, and call people.
	ErrConflict = errors.New("certificate contradicts the final ledger")
	// ErrMismatch: entries of a peer do not lead to the certified root. Drop the peer, ask another one.
	ErrMismatch = errors.New("entries do not lead to the certificate")
	// ErrCorrupt: the store does not add up. Restore it, or delete it and fetch everything from peers.
	ErrCorrupt = errors.New("ledger store does not add up")
	// ErrFull: the tentative layer has reached its bound. Wait for a certificate, then Reset and apply again.
	ErrFull = errors.New("tentative layer is full")
	// ErrNotFinal: asked for an entry, proof or tile beyond what is final (for proofs and tiles: cosigned).
	ErrNotFinal = errors.New("not final yet")
	// ErrNotFound: nothing is stored under that height or size.
	ErrNotFound = errors.New("not in the ledger")
	// ErrBusy: a staged certificate waits for Done or Drop.
	ErrBusy = errors.New("a staged certificate is not done")
)
