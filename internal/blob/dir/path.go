package dir

import (
	"cmp"
	"path/filepath"
	"strings"
)

// pieceLength is the longest piece of a key that becomes one name: with every letter escaped it still fits in the 255 bytes
// that file systems allow.
const pieceLength = 120

// path returns the folder and the full file name of a key.
//
// The key is cut into pieces: after the first two bytes of each segment (that is the fan-out), after each "/" and after
// pieceLength bytes. All pieces but the last are folders. Where a piece ends depends only on the bytes up to there, so no
// folder's piece is the beginning of another entry next to it, and walking the tree in the order of names is walking
// the keys in byte order.
func (s *Store) path(key string) (folder, name string) {
	folder = s.data
	rest := key
	for start := true; ; {
		piece, slash := cut(rest, start)
		if piece == rest {
			return folder, filepath.Join(folder, encode(piece)+"~")
		}
		folder = filepath.Join(folder, encode(piece)+"+")
		rest = rest[len(piece):]
		start = slash
	}
}

// cut returns the first piece of rest; start says that a segment begins here, slash that it ends with the piece.
func cut(rest string, start bool) (piece string, slash bool) {
	length := pieceLength
	if start {
		length = 2
	}
	length = min(length, len(rest))
	if i := strings.IndexByte(rest[:length], '/'); i >= 0 {
		return rest[:i+1], true
	}
	return rest[:length], false
}

// encode writes a piece so that it is a safe name on file systems that ignore case too.
func encode(piece string) string {
	var b strings.Builder
	for i := range len(piece) {
		switch c := piece[i]; {
		case c == '/':
			b.WriteByte(',')
		case c >= 'A' && c <= 'Z':
			b.WriteByte('^')
			b.WriteByte(c - 'A' + 'a')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// entry is one name in a folder: a piece of a key.
type entry struct {
	name   string
	piece  string
	folder bool
}

func compareEntries(a, b entry) int {
	if c := strings.Compare(a.piece, b.piece); c != 0 {
		return c
	}
	// The shorter key first: a file ends where the folder of the same piece goes on.
	return cmp.Compare(btoi(a.folder), btoi(b.folder))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// decode reads a name; ok is false for files that are not ours.
func decode(name string) (e entry, ok bool) {
	if len(name) < 2 {
		return entry{}, false
	}
	e.name = name
	switch name[len(name)-1] {
	case '+':
		e.folder = true
	case '~':
	default:
		return entry{}, false
	}
	piece := []byte(name[:len(name)-1])
	out := piece[:0]
	for i := 0; i < len(piece); i++ {
		c := piece[i]
		switch c {
		case ',':
			c = '/'
		case '^':
			i++
			if i == len(piece) || piece[i] < 'a' || piece[i] > 'z' {
				return entry{}, false
			}
			c = piece[i] - 'a' + 'A'
		}
		out = append(out, c)
	}
	e.piece = string(out)
	return e, true
}
