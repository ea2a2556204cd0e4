package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Display shows how long work is getting on. On a terminal it keeps a block of lines at the bottom and redraws it at most
// ten times a second; elsewhere it prints plain lines, few enough for a log. Safe for concurrent use.
type Display struct {
	mu     sync.Mutex
	w      io.Writer
	live   bool
	colour bool
	width  func() int

	drawn   int       // lines of the block on the screen
	shown   time.Time // when it was drawn last
	latest  func(width int) []string
	percent map[string]int // last tenth printed, of each bar, without a terminal
}

// redraw is the shortest time between two drawings.
const redraw = 100 * time.Millisecond

// NewDisplay makes a display on w: live when w is a terminal that understands cursor movements.
func NewDisplay(w io.Writer) *Display {
	d := &Display{w: w, percent: map[string]int{}, width: func() int { return 80 }}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return d
	}
	d.live, d.colour = true, os.Getenv("NO_COLOR") == ""
	d.width = func() int {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
		return 80
	}
	return d
}

// Live says whether the display moves.
func (d *Display) Live() bool { return d.live }

// Colour is a colour of Paint.
type Colour string

// The colours, by meaning: breach and failure, doubt, good.
const (
	Bad  Colour = "31"
	Warn Colour = "33"
	Good Colour = "32"
	Dim  Colour = "2"
)

// Paint colours s on a terminal, unless NO_COLOR is set.
func (d *Display) Paint(c Colour, s string) string {
	if !d.colour || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// Line prints one line that stays, above the block.
func (d *Display) Line(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	fmt.Fprintf(d.w, format+"\n", args...)
	d.draw()
}

// Show replaces the block. It calls block soon, or when the last drawing is long enough ago, or never, when a newer one
// comes first or there is no terminal.
func (d *Display) Show(block func(width int) []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.latest = block; !d.live || time.Since(d.shown) < redraw {
		return
	}
	d.clear()
	d.draw()
}

// Progress shows a bar as the block; without a terminal it prints a line at every tenth.
func (d *Display) Progress(b Bar) {
	if d.live {
		d.Show(func(width int) []string { return []string{b.String(width)} })
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tenth := int(b.share() * 10)
	if last, ok := d.percent[b.Label]; ok && tenth <= last {
		return
	}
	d.percent[b.Label] = tenth
	fmt.Fprintf(d.w, "%s: %s\n", b.Label, b.words())
}

// Close draws the block for the last time and leaves it on the screen.
func (d *Display) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	d.draw()
	d.drawn, d.latest = 0, nil
}

func (d *Display) clear() {
	if d.live && d.drawn > 0 {
		fmt.Fprintf(d.w, "\x1b[%dA\r\x1b[J", d.drawn)
		d.drawn = 0
	}
}

func (d *Display) draw() {
	if !d.live || d.latest == nil {
		return
	}
	width := d.width()
	var b strings.Builder
	lines := d.latest(width)
	for _, l := range lines {
		b.WriteString(clip(l, width-1) + "\n")
	}
	_, _ = io.WriteString(d.w, b.String())
	d.drawn, d.shown = len(lines), time.Now()
}

// clip cuts a line at a number of characters; colours take none.
func clip(s string, width int) string {
	n, escape := 0, false
	for i, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case n == width:
			return s[:i] + "\x1b[0m"
		default:
			n++
		}
	}
	return s
}

// Bar is how far one job is.
type Bar struct {
	Label string
	Done  int64
	Total int64 // 0: not known
	Unit  string
	// Note is shown at the end, such as the time left.
	Note string
}

func (b Bar) share() float64 {
	if b.Total <= 0 {
		return 0
	}
	return min(1, max(0, float64(b.Done)/float64(b.Total)))
}

func (b Bar) words() string {
	s := fmt.Sprintf("%d of %d %s, %.0f %%", b.Done, b.Total, b.Unit, 100*b.share())
	if b.Total <= 0 {
		s = fmt.Sprintf("%d %s", b.Done, b.Unit)
	}
	if b.Note != "" {
		s += ", " + b.Note
	}
	return s
}

// String draws the bar within width characters.
func (b Bar) String(width int) string {
	words := b.words()
	room := width - utf8.RuneCountInString(b.Label) - utf8.RuneCountInString(words) - 5
	if room < 8 || b.Total <= 0 {
		return b.Label + "  " + words
	}
	full := int(b.share() * float64(room))
	return b.Label + " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "] " + words
}

// Table is rows in columns, for a terminal and for plain output alike.
type Table struct {
	Head []string
	Rows [][]string
}

// Lines lays the table out; width 0: as wide as it needs to be. Cells may be painted.
func (t Table) Lines(width int) []string {
	all := t.Rows
	if t.Head != nil {
		all = append([][]string{t.Head}, t.Rows...)
	}
	var wide []int
	for _, r := range all {
		for i, cell := range r {
			if i == len(wide) {
				wide = append(wide, 0)
			}
			wide[i] = max(wide[i], visible(cell))
		}
	}
	var out []string
	for _, r := range all {
		var b strings.Builder
		for i, cell := range r {
			b.WriteString(cell)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", wide[i]-visible(cell)+2))
			}
		}
		l := strings.TrimRight(b.String(), " ")
		if width > 0 {
			l = clip(l, width)
		}
		out = append(out, l)
	}
	return out
}

// visible is the number of characters that a cell takes on the screen.
func visible(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}
