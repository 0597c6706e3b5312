package ckpt

import (
	"errors"
	"fmt"
	"strconv"
)

// The values a pickle can make here, beside nil, bool, int64, *big.Int, float64, string and
// []byte. Pickles share and even nest values in themselves, so containers are pointers.
type (
	pyTuple struct{ items []any }
	pyList  struct{ items []any } // also set and frozenset

	// pyDict keeps the order of insertion, as Python's does.
	pyDict struct {
		keys, values []any
		index        map[any]int
		ordered      bool // an OrderedDict
	}

	// pyObject is an instance of a class that is known to be only a bag of attributes.
	pyObject struct{ attrs *pyDict }

	// pyClass is what a global of the pickle stands for. new makes a value of it from the
	// arguments; it is this package's code, never the file's. It is nil for a class that can only
	// be mentioned.
	pyClass struct {
		name string
		new  func(p *unpickler, args []any) (any, error)
	}

	// pyStateful is a value whose BUILD opcode is understood.
	pyStateful interface {
		setState(p *unpickler, state any) error
	}
)

const (
	// maxPickle bounds the pickle; the numbers of a checkpoint are not in it. That of a ViT-L with
	// its optimizer state has half a megabyte.
	maxPickle = 64 << 20

	// maxSteps bounds opcodes, and with them the number of values, to some hundred megabytes.
	maxSteps = 4 << 20

	// maxLine bounds a line of text in the pickle, and maxLong the bytes of an integer, whose
	// conversion to decimal text takes quadratic time.
	maxLine = 1024
	maxLong = 256
)

// unpickler runs the subset of the pickle machine (Python's pickletools.py describes it) that
// data needs, protocols 1 to 5. A global is looked up in a closed list; REDUCE, NEWOBJ, INST and
// OBJ call only what is on it.
type unpickler struct {
	data  []byte
	pos   int // of the next byte
	op    int // position of the opcode at work, for messages
	stack []any
	marks []int // heights of the stack
	memo  map[uint64]any
	steps int // opcodes, copied elements and copied text (a step is 64 bytes) so far

	class      func(module, name string) (*pyClass, bool)
	persistent func(id any) (any, error) // what BINPERSID refers to
}

// run executes the pickle and returns its value. Errors say at which byte.
func (p *unpickler) run() (any, error) {
	if len(p.data) > maxPickle {
		return nil, fmt.Errorf("its pickle has %d bytes, at most %d are read", len(p.data), maxPickle)
	}
	p.memo = map[uint64]any{}
	for {
		p.op = p.pos
		code, err := p.byte()
		if err == nil {
			err = p.spend(1)
		}
		if err == nil && code == '.' { // STOP
			var v any
			if v, err = p.pop(); err == nil {
				return v, nil
			}
		} else if err == nil {
			err = p.step(code)
		}
		if err != nil {
			return nil, fmt.Errorf("at byte %d of its pickle: %w", p.op, err)
		}
	}
}

// spend counts work, so that a small file cannot cause much of it.
func (p *unpickler) spend(n int) error {
	if p.steps += n; p.steps > maxSteps {
		return fmt.Errorf("it takes more than %d steps", maxSteps)
	}
	return nil
}

// step executes one opcode. The names behind the codes are those of pickletools.
func (p *unpickler) step(code byte) error {
	switch code {
	case 0x80: // PROTO
		version, err := p.byte()
		if err == nil && version > 5 {
			err = fmt.Errorf("pickle protocol %d is not known, 5 is the newest", version)
		}
		return err
	case 0x95: // FRAME: only a hint how much to read at once
		_, err := p.take(8)
		return err
	case '(': // MARK
		p.marks = append(p.marks, len(p.stack))
		return nil
	case '0': // POP
		if n := len(p.marks); n > 0 && p.marks[n-1] == len(p.stack) {
			p.marks = p.marks[:n-1]
			return nil
		}
		_, err := p.pop()
		return err
	case '1': // POP_MARK
		_, err := p.popMark()
		return err
	case '2': // DUP
		v, err := p.top()
		return p.push(v, err)
	case 'N':
		return p.push(nil, nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return p.push(code == 0x88, nil)
	case 'I', 'J', 'K', 'M', 'L', 0x8a, 0x8b:
		return p.push(p.integer(code))
	case 'F', 'G':
		return p.push(p.floating(code))
	case 'X', 0x8c, 0x8d, 'T', 'U': // BINUNICODE, SHORT_, 8; BINSTRING, SHORT_ (Python 2)
		b, err := p.counted(widths[code])
		return p.push(string(b), err)
	case 'B', 'C', 0x8e, 0x96: // BINBYTES, SHORT_, 8; BYTEARRAY8
		b, err := p.counted(widths[code])
		return p.push(b, err)
	case ']', '}', ')', 0x8f, 'l', 'd', 't', 0x85, 0x86, 0x87, 0x91:
		return p.push(p.container(code))
	case 'a', 'e', 's', 'u', 0x90:
		return p.extend(code)
	case 'p', 'q', 'r', 0x94:
		return p.remember(code)
	case 'g', 'h', 'j':
		return p.recall(code)
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return p.push(p.global(code))
	case 'R', 0x81, 0x92, 'i', 'o':
		return p.push(p.call(code))
	case 'b':
		return p.build()
	case 'Q': // BINPERSID
		id, err := p.pop()
		if err != nil {
			return err
		}
		return p.push(p.persistent(id))
	}
	return fmt.Errorf("opcode %q is not one that data needs", code)
}

// push puts a value on the stack, unless making it failed.
func (p *unpickler) push(v any, err error) error {
	if err == nil {
		p.stack = append(p.stack, v)
	}
	return err
}

// floor is the height that pops may not go below: what lies under the topmost mark is out of
// reach.
func (p *unpickler) floor() int {
	if n := len(p.marks); n > 0 {
		return p.marks[n-1]
	}
	return 0
}

var errStack = errors.New("it takes more values than there are")

func (p *unpickler) top() (any, error) {
	if len(p.stack) <= p.floor() {
		return nil, errStack
	}
	return p.stack[len(p.stack)-1], nil
}

func (p *unpickler) pop() (any, error) {
	v, err := p.top()
	if err == nil {
		p.stack = p.stack[:len(p.stack)-1]
	}
	return v, err
}

// popN takes the topmost n values, in the order they were pushed. They are a copy.
func (p *unpickler) popN(n int) ([]any, error) {
	at := len(p.stack) - n
	if at < p.floor() {
		return nil, errStack
	}
	values := append([]any(nil), p.stack[at:]...)
	p.stack = p.stack[:at]
	return values, nil
}

// popMark takes all values above the topmost mark, and the mark.
func (p *unpickler) popMark() ([]any, error) {
	if len(p.marks) == 0 {
		return nil, errors.New("it takes values back to a mark, and there is none")
	}
	values, err := p.popN(len(p.stack) - p.floor())
	p.marks = p.marks[:len(p.marks)-1]
	return values, err
}

// remember stores the top of the stack: PUT, BINPUT, LONG_BINPUT, MEMOIZE.
func (p *unpickler) remember(code byte) error {
	key := uint64(len(p.memo))
	if code != 0x94 {
		var err error
		if key, err = p.memoKey(code, "pqr"); err != nil {
			return err
		}
	}
	v, err := p.top()
	if err == nil {
		p.memo[key] = v
	}
	return err
}

// recall pushes what was stored: GET, BINGET, LONG_BINGET.
func (p *unpickler) recall(code byte) error {
	key, err := p.memoKey(code, "ghj")
	if err != nil {
		return err
	}
	v, ok := p.memo[key]
	if !ok {
		return fmt.Errorf("it recalls value %d, which was not stored", key)
	}
	return p.push(v, nil)
}

// memoKey reads the key behind one of three opcodes: as text, one byte or four.
func (p *unpickler) memoKey(code byte, codes string) (uint64, error) {
	switch code {
	case codes[0]:
		text, err := p.line()
		if err != nil {
			return 0, err
		}
		return strconv.ParseUint(text, 10, 32)
	case codes[1]:
		return p.number(1)
	}
	return p.number(4)
}

// global looks up a name in the closed list.
func (p *unpickler) global(code byte) (any, error) {
	var module, name string
	if code == 0x93 {
		pair, err := p.popN(2)
		if err != nil {
			return nil, err
		}
		var isText, alsoText bool
		module, isText = pair[0].(string)
		if name, alsoText = pair[1].(string); !isText || !alsoText {
			return nil, errors.New("it names a global by something that is not text")
		}
	} else {
		var err error
		if module, err = p.line(); err != nil {
			return nil, err
		}
		if name, err = p.line(); err != nil {
			return nil, err
		}
	}
	return p.find(module, name)
}

func (p *unpickler) find(module, name string) (any, error) {
	c, ok := p.class(module, name)
	if !ok {
		return nil, fmt.Errorf("it names %q, which is not among the types that are read; nothing was executed",
			clip(module+"."+name))
	}
	return c, nil
}

// call makes a value of a class: REDUCE, NEWOBJ, NEWOBJ_EX, INST, OBJ.
func (p *unpickler) call(code byte) (any, error) {
	var callee any
	var args []any
	switch code {
	case 'i': // INST: the name in the pickle, the arguments since the mark
		found, err := p.global('c')
		if err != nil {
			return nil, err
		}
		callee = found
		if args, err = p.popMark(); err != nil {
			return nil, err
		}
	case 'o': // OBJ: class and arguments since the mark
		values, err := p.popMark()
		if err != nil {
			return nil, err
		}
		if len(values) == 0 {
			return nil, errStack
		}
		callee, args = values[0], values[1:]
	default:
		n := 2
		if code == 0x92 {
			n = 3
		}
		values, err := p.popN(n)
		if err != nil {
			return nil, err
		}
		tuple, ok := values[1].(*pyTuple)
		if !ok {
			return nil, fmt.Errorf("it calls with %s for arguments", kindOf(values[1]))
		}
		if n == 3 {
			if keywords, ok := values[2].(*pyDict); !ok || len(keywords.keys) > 0 {
				return nil, errors.New("it calls with keyword arguments, which nothing here takes")
			}
		}
		callee, args = values[0], tuple.items
	}
	class, ok := callee.(*pyClass)
	if !ok {
		return nil, fmt.Errorf("it calls %s", kindOf(callee))
	}
	if class.new == nil {
		return nil, fmt.Errorf("it calls %s, which can only be mentioned", class.name)
	}
	v, err := class.new(p, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", class.name, err)
	}
	return v, nil
}

// build hands a value its state.
func (p *unpickler) build() error {
	state, err := p.pop()
	if err != nil {
		return err
	}
	v, err := p.top()
	if err != nil {
		return err
	}
	target, ok := v.(pyStateful)
	if !ok {
		return fmt.Errorf("it sets the state of %s", kindOf(v))
	}
	return target.setState(p, state)
}
