package inventory

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// node is a TOML value together with the place where it was written. The decoder gives values and their meaning, but places only
// for syntax errors; the scan gives places alone. join puts the two together and fails where they do not agree on the shape.
type node struct {
	file  *source
	at    int    // byte offset of the key, of the table's header, or of the element
	val   int    // byte offset of the value
	key   string // the last part of its key
	keys  []string
	table map[string]*node
	list  []*node
	array bool  // an array, or an array of tables
	first *node // for a key that is there twice
	value any
}

// source is one file's text with an index of its lines.
type source struct {
	name  string
	text  string
	lines []int // byte offset of each line's begin
}

func newSource(name, text string) *source {
	s := &source{name: name, text: text, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// place returns line and column, both from 1; columns count characters, not bytes.
func (s *source) place(offset int) (line, col int) {
	offset = min(max(offset, 0), len(s.text))
	n := sort.SearchInts(s.lines, offset+1) - 1
	return n + 1, utf8.RuneCountInString(s.text[s.lines[n]:offset]) + 1
}

// decode reads a file's text into a tree of values with places.
func decode(s *source) (*node, error) {
	if at := strings.IndexFunc(s.text, func(c rune) bool { return c == utf8.RuneError }); at >= 0 && !utf8.ValidString(s.text) {
		line, col := s.place(at)
		return nil, &Error{s.name, line, col, "not UTF-8 text"}
	}
	sc := &scanner{file: s, text: s.text}
	root := sc.document()
	if sc.deep != nil { // the decoder's time and stack grow with the depth: it is not let near such a text
		line, col := s.place(*sc.deep)
		return nil, &Error{s.name, line, col, fmt.Sprintf("more than %d brackets within each other", maxDepth)}
	}
	values := map[string]any{}
	if _, err := toml.Decode(s.text, &values); err != nil {
		return nil, err
	}
	if len(sc.twice) > 0 { // the decoder passes over some of them: in a.b = 1, a = 2 it drops the second
		again := sc.twice[0]
		line, col := s.place(again.at)
		return nil, &Error{s.name, line, col, fmt.Sprintf("key %q is there twice: first at %s", again.key, where(again.first))}
	}
	if err := join(root, values); err != nil {
		return nil, err
	}
	return root, nil
}

// find gives the node whose dotted key, as the decoder writes it, is key.
func (n *node) find(key string, path toml.Key) *node {
	for _, name := range n.keys {
		child, at := n.table[name], append(path[:len(path):len(path)], name)
		if at.String() == key {
			return child
		}
		if found := child.find(key, at); found != nil {
			return found
		}
	}
	return nil
}

func join(n *node, value any) error {
	n.value = value
	switch v := value.(type) {
	case map[string]any:
		if len(v) != len(n.table) {
			return fmt.Errorf("cannot place the keys of table %q", n.key)
		}
		for k, c := range v {
			child, ok := n.table[k]
			if !ok {
				return fmt.Errorf("cannot place key %q", k)
			}
			if err := join(child, c); err != nil {
				return err
			}
		}
	case []map[string]any:
		return joinList(n, len(v), func(i int) any { return v[i] })
	case []any:
		return joinList(n, len(v), func(i int) any { return v[i] })
	}
	return nil
}

func joinList(n *node, count int, at func(int) any) error {
	if count != len(n.list) {
		return fmt.Errorf("cannot place the elements of %q", n.key)
	}
	for i, c := range n.list {
		if err := join(c, at(i)); err != nil {
			return err
		}
	}
	return nil
}

// maxDepth bounds lists and tables written within each other; an inventory needs three.
const maxDepth = 32

// scanner walks a text and notes where each key and value stands. What it finds is right where the decoder finds the text to be TOML;
// any other text it passes through without harm.
type scanner struct {
	file  *source
	text  string
	i     int
	twice []*node // keys with a value that were there already
	depth int
	deep  *int // where the text is too deep; nothing after it is read
}

// part is one part of a dotted key.
type part struct {
	name string
	at   int
}

func (s *scanner) document() *node {
	root := s.newNode(part{})
	root.table = map[string]*node{}
	cur := root
	for s.blank(); s.i < len(s.text); s.blank() {
		if s.text[s.i] != '[' {
			s.pair(cur)
			continue
		}
		s.i++
		array := s.peek() == '['
		if array {
			s.i++
		}
		key := s.dotted()
		s.to("]")
		s.skip(1)
		if array {
			s.skip(1)
		}
		cur = s.header(root, key, array)
	}
	return root
}

// header finds or makes the table that [a.b] or [[a.b]] begins.
func (s *scanner) header(root *node, key []part, array bool) *node {
	if !array {
		return s.descend(root, key)
	}
	parent, last := s.descend(root, key[:len(key)-1]), key[len(key)-1]
	list := parent.table[last.name]
	if list == nil {
		list = s.newNode(last)
		parent.add(list)
	}
	list.array = true
	element := s.newNode(last)
	element.table = map[string]*node{}
	list.list = append(list.list, element)
	return element
}

func (s *scanner) descend(n *node, key []part) *node {
	for _, p := range key {
		child := n.table[p.name]
		if child == nil {
			child = s.newNode(p)
			n.add(child)
		}
		if child.array && len(child.list) > 0 {
			child = child.list[len(child.list)-1]
		}
		if child.table == nil {
			child.table = map[string]*node{}
		}
		n = child
	}
	return n
}

func (s *scanner) newNode(p part) *node {
	return &node{file: s.file, key: p.name, at: p.at, val: p.at}
}

func (n *node) add(child *node) {
	if n.table == nil {
		n.table = map[string]*node{}
	}
	if _, ok := n.table[child.key]; !ok {
		n.keys = append(n.keys, child.key)
	}
	n.table[child.key] = child
}

// pair reads key = value into the table n.
func (s *scanner) pair(n *node) {
	key := s.dotted()
	s.skip(1) // the equals sign
	s.spaces()
	child := s.newNode(key[len(key)-1])
	s.scanValue(child)
	parent := s.descend(n, key[:len(key)-1])
	if child.first = parent.table[child.key]; child.first != nil {
		s.twice = append(s.twice, child)
		return
	}
	parent.add(child)
}

func (s *scanner) scanValue(n *node) {
	n.val = s.i
	switch s.peek() {
	case '"', '\'':
		s.str()
	case '[':
		n.array = true
		s.list(']', func() {
			element := &node{file: s.file, key: n.key, at: s.i}
			s.scanValue(element)
			n.list = append(n.list, element)
		})
	case '{':
		n.table = map[string]*node{}
		s.list('}', func() { s.pair(n) })
	default:
		s.to(",]}#\n")
	}
}

// list reads what stands between the bracket at the present place and the closing one; item reads one of its parts.
func (s *scanner) list(closing byte, item func()) {
	if s.depth++; s.depth > maxDepth && s.deep == nil {
		at := s.i
		s.deep, s.i = &at, len(s.text)
	}
	defer func() { s.depth-- }()
	s.skip(1)
	for s.blank(); s.i < len(s.text) && s.text[s.i] != closing; s.blank() {
		if s.text[s.i] == ',' {
			s.i++
			continue
		}
		before := s.i
		item()
		if s.i == before {
			s.i++ // only a text that is not TOML comes here; go on all the same
		}
	}
	s.skip(1)
}

// dotted reads a key of one or more parts; it stops before what follows the key.
func (s *scanner) dotted() []part {
	var key []part
	for {
		s.spaces()
		p := part{at: s.i}
		switch s.peek() {
		case '"', '\'':
			p.name = unquote(s.str())
		default:
			s.to(" \t.=]\r\n")
			p.name = s.text[p.at:s.i]
		}
		key = append(key, p)
		s.spaces()
		if s.peek() != '.' {
			return key
		}
		s.i++
	}
}

// str reads a string of any of the four kinds and returns it with its quotes.
func (s *scanner) str() string {
	begin, quote := s.i, s.text[s.i]
	mark := strings.Repeat(string(quote), 3)
	if !strings.HasPrefix(s.text[s.i:], mark) {
		mark = mark[:1]
	}
	s.i += len(mark)
	for s.i < len(s.text) && !strings.HasPrefix(s.text[s.i:], mark) {
		if quote == '"' && s.text[s.i] == '\\' {
			s.i++
		}
		s.skip(1)
	}
	s.skip(len(mark))
	for len(mark) == 3 && s.peek() == quote { // up to two quotes may stand before the closing three
		s.i++
	}
	return s.text[begin:s.i]
}

func (s *scanner) peek() byte {
	if s.i >= len(s.text) {
		return 0
	}
	return s.text[s.i]
}

func (s *scanner) skip(n int) { s.i = min(s.i+n, len(s.text)) }

// to goes to the next of the characters, or to the end.
func (s *scanner) to(chars string) {
	if n := strings.IndexAny(s.text[s.i:], chars); n >= 0 {
		s.i += n
	} else {
		s.i = len(s.text)
	}
}

func (s *scanner) spaces() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.i++
	}
}

// blank skips white space, line ends and comments.
func (s *scanner) blank() {
	for s.i < len(s.text) {
		switch s.text[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		case '#':
			s.to("\n")
		default:
			return
		}
	}
}

// unquote undoes the escapes of a key in quotes (TOML 1.0 and 1.1, "Strings").
func unquote(quoted string) string {
	body := quoted[1:max(len(quoted)-1, 1)]
	if quoted[0] == '\'' || !strings.Contains(body, `\`) {
		return body
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' || i+1 == len(body) {
			b.WriteByte(body[i])
			continue
		}
		i++
		if digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[body[i]]; digits > 0 && i+digits < len(body) {
			code, _ := strconv.ParseUint(body[i+1:i+1+digits], 16, 32)
			b.WriteRune(rune(code))
			i += digits
			continue
		}
		if at := strings.IndexByte("btnfre", body[i]); at >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b"[at])
			continue
		}
		b.WriteByte(body[i])
	}
	return b.String()
}
