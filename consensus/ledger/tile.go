package ledger

import (
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// maxTileLevel is the highest level of 256-wide tiles a tree of 2^62 leaves has.
const maxTileLevel = 7

// checkTile bounds a tile that somebody asked for and refuses what lies beyond the cosigned size.
func (l *Ledger) checkTile(t tlog.Tile) error {
	if t.H != torchwood.TileHeight || t.L < -1 || t.L > maxTileLevel || t.N < 0 || t.W < 1 || t.W > torchwood.TileWidth {
		return fmt.Errorf("%w: no tile of height %d, level %d, number %d, width %d", ErrNotFound, t.H, t.L, t.N, t.W)
	}
	level := max(t.L, 0) * torchwood.TileHeight
	// How many hashes the level has; computed this way round nothing overflows.
	if have := l.CosignedSize() >> level; uint64(t.N) > have/torchwood.TileWidth || uint64(t.N)*torchwood.TileWidth+uint64(t.W) > have {
		return fmt.Errorf("%w: %s", ErrNotFinal, torchwood.TilePath(t))
	}
	return nil
}

// Tile is the bytes of a C2SP tlog-tiles tile, as torchwood.ParseTilePath names it: level -1 is an entry bundle. A
// partial tile of any width is served as soon as the cosigned tree has that many. The bytes of a tile never change.
// Errors: ErrNotFinal (404: it may come), ErrNotFound (404: there is no such tile).
func (l *Ledger) Tile(t tlog.Tile) ([]byte, error) {
	if t.L == -1 {
		return l.EntryTile(t)
	}
	if err := l.checkTile(t); err != nil {
		return nil, err
	}
	return tlog.ReadTileData(t, l.store)
}

// EntryTile is the bytes of a C2SP tlog-tiles entry bundle: each entry behind its 16-bit length.
func (l *Ledger) EntryTile(t tlog.Tile) ([]byte, error) {
	t.L = -1
	if err := l.checkTile(t); err != nil {
		return nil, err
	}
	var out []byte
	from := uint64(t.N) * torchwood.TileWidth
	for e, err := range l.store.entries(from, from+uint64(t.W)) {
		if err == nil {
			out, err = torchwood.AppendTileEntry(out, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
