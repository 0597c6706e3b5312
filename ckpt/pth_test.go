package ckpt_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
)

// TestReferenceCheckpoint reads the full checkpoint of the reference and compares it with what
// the reference's run recorded in words and numbers.
func TestReferenceCheckpoint(t *testing.T) {
	c := open(t, goldens+"a_vit_ckpt.pth")
	var layout struct {
		ParamGroups []map[string]any   `json:"param_groups"`
		Steps       map[string]float64 `json:"steps"`
		Student     map[string][]int   `json:"student_keys"`
		Teacher     map[string][]int   `json:"teacher_keys"`
		Loss        map[string][]int   `json:"ibot_loss_keys"`
		Args        map[string]any     `json:"args"`
		GroupOrder  [][]string         `json:"group_order"`
	}
	text, err := os.ReadFile(goldens + "a_vit_ckpt_layout.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &layout); err != nil {
		t.Fatal(err)
	}

	count := 0
	for prefix, keys := range map[string]map[string][]int{"student.": layout.Student, "teacher.": layout.Teacher, "ibot_loss.": layout.Loss} {
		for key, shape := range keys {
			count++
			if s, err := c.Spec(prefix + key); err != nil || s.DType != ckpt.Float32 || !slices.Equal(s.Shape, shape) {
				t.Errorf("%s%s is %v, %v, want float32 %v", prefix, key, s, err, shape)
			}
		}
	}
	for index, want := range layout.Steps {
		for _, part := range []string{"step", "exp_avg", "exp_avg_sq"} {
			count++
			v := floats(t, c, "optimizer.state."+index+"."+part)
			if part == "step" && (len(v) != 1 || v[0] != want) {
				t.Errorf("step of parameter %s is %v, want %v", index, v, want)
			}
		}
	}
	if c.Format != "pth" || c.Len() != count {
		t.Errorf("got %s of %d arrays, want %d", c.Format, c.Len(), count)
	}

	// The order of a state dict: as the file's JSON twin lists it.
	inOrder := keysInOrder(t, text, "student_keys")
	for i, key := range inOrder {
		if got := c.Names()[i]; got != "student."+key {
			t.Fatalf("array %d is %q, want %q", i, got, "student."+key)
		}
	}

	same := func(name string, want any) {
		var got any
		if err := json.Unmarshal([]byte(c.Meta[name]), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %s, %v, want %v", name, c.Meta[name], err, want)
		}
	}
	for key, want := range layout.Args {
		same("args."+key, want)
	}
	for i, group := range layout.ParamGroups {
		for key, want := range group { // lr and weight_decay are numpy.float64 in the pickle
			same(fmt.Sprintf("optimizer.param_groups.%d.%s", i, key), want)
		}
	}
	same("epoch", 2.0)
}

// keysInOrder returns the keys of one of the objects in a JSON object, as the text has them.
func keysInOrder(t *testing.T, text []byte, object string) []string {
	t.Helper()
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(parts[object])))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value any
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// TestReferenceCheckpointValues compares the checkpoint's numbers with the sums and centers that
// the reference recorded after its last step.
func TestReferenceCheckpointValues(t *testing.T) {
	c, expected := open(t, goldens+"a_vit_ckpt.pth"), open(t, goldens+"a_vit_expected.npz")
	for _, net := range []struct{ prefix, names, sums string }{
		{"student.module.", "student_param_names", "2/student_abs_sum"},
		{"teacher.", "teacher_param_names", "2/teacher_abs_sum"},
	} {
		names, err := array(t, expected, net.names).Strings()
		if err != nil {
			t.Fatal(err)
		}
		sums := floats(t, expected, net.sums)
		for i, name := range names {
			sum := 0.0
			for _, v := range floats(t, c, net.prefix+name) {
				sum += math.Abs(v)
			}
			if math.Abs(sum-sums[i]) > 1e-6*math.Abs(sums[i]) {
				t.Errorf("%s%s sums to %v, want %v", net.prefix, name, sum, sums[i])
			}
		}
	}
	for _, center := range []string{"center", "center2"} {
		if got, want := array(t, c, "ibot_loss."+center), array(t, expected, "2/"+center); !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs from the recorded one", center)
		}
	}
	// The shared head's last layer is one storage under two names.
	if a, b := array(t, c, "teacher.head.last_layer.weight_v"), array(t, c, "teacher.head.last_layer2.weight_v"); &a.Data[0] != &b.Data[0] {
		t.Error("a shared storage was copied")
	}
}

// assemble joins parts of a pickle program of protocol 2.
func assemble(parts ...string) []byte { return []byte("\x80\x02" + strings.Join(parts, "")) }

// text is BINUNICODE.
func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// integer is BININT.
func integer(n int) string {
	return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(int32(n))))
}

func tuple(parts ...string) string { return "(" + strings.Join(parts, "") + "t" }

func integers(v []int) string {
	var parts []string
	for _, n := range v {
		parts = append(parts, integer(n))
	}
	return tuple(parts...)
}

// persistentID pushes a reference to a storage.
func persistentID(class, key string, count int) string {
	return tuple(text("storage"), "c"+class+"\n", text(key), text("cpu"), integer(count)) + "Q"
}

// aTensor pushes a tensor as torch.save does.
func aTensor(class, key string, count, offset int, shape, strides []int) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n" +
		tuple(persistentID(class, key, count), integer(offset), integers(shape), integers(strides),
			"\x89", "ccollections\nOrderedDict\n)R") + "R"
}

func floatTensor(key string, count, offset int, shape, strides []int) string {
	return aTensor("torch\nFloatStorage", key, count, offset, shape, strides)
}

// pthOf makes a file as torch.save does, with storages as pairs of key and bytes.
func pthOf(t testing.TB, program []byte, storages ...any) []byte {
	t.Helper()
	members := []any{"archive/data.pkl", program}
	for i := 0; i < len(storages); i += 2 {
		members = append(members, "archive/data/"+storages[i].(string), storages[i+1])
	}
	return zipOf(t, 0, append(members, "archive/version", "3\n")...)
}

// openProgram opens a .pth file of the program and a storage "0" of the float32 numbers 0 to 11.
func openProgram(t testing.TB, parts ...string) (*ckpt.Checkpoint, error) {
	t.Helper()
	v := make([]float32, 12)
	for i := range v {
		v[i] = float32(i)
	}
	return openBytes(t, pthOf(t, assemble(parts...), "0", ckpt.FromFloat32(nil, v).Data))
}

func TestViews(t *testing.T) {
	for _, tc := range []struct {
		name           string
		offset         int
		shape, strides []int
		want           []float32
	}{
		{"whole", 0, []int{3, 4}, []int{4, 1}, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"part", 4, []int{2, 2}, []int{2, 1}, []float32{4, 5, 6, 7}},
		{"transposed", 0, []int{4, 3}, []int{1, 4}, []float32{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
		{"every second", 1, []int{3}, []int{2}, []float32{1, 3, 5}},
		{"a column", 2, []int{3, 1}, []int{4, 1}, []float32{2, 6, 10}},
		{"expanded", 3, []int{2, 3}, []int{0, 0}, []float32{3, 3, 3, 3, 3, 3}},
		{"sliding", 0, []int{2, 3}, []int{1, 1}, []float32{0, 1, 2, 1, 2, 3}},
		{"scalar", 11, []int{}, []int{}, []float32{11}},
		{"empty", 12, []int{0, 5}, []int{5, 1}, []float32{}},
		{"axes of one with any stride", 0, []int{1, 2, 1}, []int{99, 1, 99}, []float32{0, 1}},
	} {
		c, err := openProgram(t, floatTensor("0", 12, tc.offset, tc.shape, tc.strides), ".")
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		a := array(t, c, "value")
		if got, err := a.Float32(); err != nil || !reflect.DeepEqual(got, tc.want) || !slices.Equal(a.Shape, tc.shape) {
			t.Errorf("%s: got %v %v, %v, want %v %v", tc.name, a.Shape, got, err, tc.shape, tc.want)
		}
	}
}

func TestViewsRefused(t *testing.T) {
	huge := "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" // 2^63-1
	big := "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x10"  // 2^60
	storage := persistentID("torch\nFloatStorage", "0", 12)
	view := func(offset, shape, strides string) string {
		return "ctorch._utils\n_rebuild_tensor_v2\n" + tuple(storage, offset, shape, strides) + "R."
	}
	for _, tc := range []struct{ name, program, want string }{
		{"beyond the end", floatTensor("0", 12, 1, []int{12}, []int{1}) + ".", "reaches beyond"},
		{"stride beyond", floatTensor("0", 12, 0, []int{2}, []int{12}) + ".", "reaches beyond"},
		{"huge stride", view(integer(0), tuple(integer(3)), tuple(huge)), "reaches beyond"},
		{"huge offset", view(huge, tuple(integer(1)), tuple(integer(1))), "reaches beyond"},
		{"huge shape", view(integer(0), tuple(huge, huge), tuple(integer(1), integer(1))), "more elements"},
		{"huge expanded", view(integer(0), tuple(big, integer(1)), tuple(integer(0), integer(0))), "e"},
		{"expanded to 4 GB", view(integer(0), integers([]int{1 << 15, 1 << 15}), integers([]int{0, 0})), "expanded"},
		{"negative stride", floatTensor("0", 12, 11, []int{2}, []int{-1}) + ".", "reaches beyond"},
		{"negative offset", floatTensor("0", 12, -1, []int{2}, []int{1}) + ".", "not understood"},
		{"negative shape", floatTensor("0", 12, 0, []int{-2}, []int{1}) + ".", "negative"},
		{"fewer strides", floatTensor("0", 12, 0, []int{2, 2}, []int{1}) + ".", "not understood"},
		{"65 axes", floatTensor("0", 12, 0, make([]int, 65), make([]int, 65)) + ".", "not understood"},
		{"storage too large", floatTensor("0", 13, 0, []int{2}, []int{1}) + ".", "48 bytes"},
		{"negative storage", floatTensor("0", -1, 0, []int{2}, []int{1}) + ".", "48 bytes"},
		{"no such storage", floatTensor("7", 1, 0, []int{1}, []int{1}) + ".", `no member "archive/data/7"`},
		{"way out of the archive", floatTensor("../../etc/passwd", 1, 0, []int{1}, []int{1}) + ".", "no member"},
		{"no storage", "ctorch._utils\n_rebuild_tensor_v2\n" + tuple("N", integer(0), integers(nil), integers(nil)) + "R.", "None"},
		{"no id", "NQ.", "id of a storage"},
		{"an odd id", tuple(text("storage"), "NNNN") + "Q.", "not understood"},
		{"an odd storage", tuple(text("storage"), "ctorch\nSize\n", text("0"), "N", integer(1)) + "Q.", "torch.Size"},
		{"an untyped tensor", aTensor("torch.storage\nUntypedStorage", "0", 48, 0, []int{1}, []int{1}) + ".", "untyped"},
	} {
		_, err := openProgram(t, tc.program)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestStorageTypes(t *testing.T) {
	data := []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for class, want := range map[string]ckpt.DType{
		"Float": ckpt.Float32, "Double": ckpt.Float64, "Half": ckpt.Float16, "BFloat16": ckpt.BFloat16,
		"Long": ckpt.Int64, "Int": ckpt.Int32, "Short": ckpt.Int16, "Char": ckpt.Int8, "Byte": ckpt.Uint8, "Bool": ckpt.Bool,
		"ComplexFloat": ckpt.Complex64, "ComplexDouble": ckpt.Complex128,
	} {
		n := len(data) / want.Size()
		c, err := openBytes(t, pthOf(t, assemble(aTensor("torch\n"+class+"Storage", "k", n, 0, []int{n}, []int{1}), "."), "k", data))
		if err != nil {
			t.Errorf("%s: %v", class, err)
			continue
		}
		if a := array(t, c, "value"); a.DType != want || !slices.Equal(a.Data, data) {
			t.Errorf("%sStorage: got %v", class, a)
		}
	}
	// Types newer than the storage classes come as untyped bytes and the type in place 6.
	program := "ctorch._utils\n_rebuild_tensor_v3\n" + tuple(persistentID("torch.storage\nUntypedStorage", "k", 16),
		integer(0), integers([]int{8}), integers([]int{1}), "\x89", "N", "ctorch\nuint16\n") + "R."
	c, err := openBytes(t, pthOf(t, assemble(program), "k", data))
	if err != nil {
		t.Fatal(err)
	}
	if a := array(t, c, "value"); a.DType != ckpt.Uint16 || !slices.Equal(a.Shape, []int{8}) {
		t.Errorf("got %v", a)
	}
}

func TestTree(t *testing.T) {
	x := floatTensor("0", 12, 0, []int{1}, []int{1})
	for _, tc := range []struct {
		name, program string
		names         []string
		meta          map[string]string
	}{
		{"nested", "}(" + text("model") + "}" + text("w") + x + "s" + text("epoch") + "K\x07u.", []string{"model.w"}, map[string]string{"epoch": "7"}},
		{"integers for keys", "}(K\x00" + x + "J\xff\xff\xff\xff" + x + "u.", []string{"0", "-1"}, nil},
		{"list", "](" + x + "N" + x + "e.", []string{"0", "2"}, map[string]string{"1": "null"}},
		{"plain list", "}" + text("betas") + tuple("G?\xf0\x00\x00\x00\x00\x00\x00", "K\x01", "\x88", text("é\"")) + "s.", nil, map[string]string{"betas": `[1.0,1,true,"é\""]`}},
		{"tensors deep in lists", "}" + text("a") + tuple(tuple("K\x01"), tuple(tuple(x))) + "s.", []string{"a.1.0.0"}, map[string]string{"a.0": "[1]"}},
		{"parameter", "ctorch._utils\n_rebuild_parameter\n" + tuple(x, "\x88", "ccollections\nOrderedDict\n)R") + "R.", []string{"value"}, nil},
		{"protocol 4", "}\x94(\x8c\x01a\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94\x93\x94" +
			strings.TrimPrefix(x, "ctorch._utils\n_rebuild_tensor_v2\n") + "\x8c\x01bh\x01u.", []string{"a"}, map[string]string{"b": `"a"`}},
		{"attributes of a dict are left out", "ccollections\nOrderedDict\n)R" + text("w") + x + "s}" + text("_metadata") + "}sb.", []string{"w"}, nil},
		{"pairs", "ccollections\nOrderedDict\n(](](" + text("w") + x + "eetR.", []string{"w"}, nil},
		{"namespace", "cargparse\nNamespace\n)\x81}(" + text("lr") + "G?\xe0\x00\x00\x00\x00\x00\x00" + text("arch") + text("vit") + "ub.", nil, map[string]string{"lr": "0.5", "arch": `"vit"`}},
		{
			"path, device, size, type, set", "}(" + text("p") + "cpathlib\nPosixPath\n" + tuple(text("/"), text("a"), text("b")) + "R" +
				text("d") + "ctorch\ndevice\n" + tuple(text("cuda"), "K\x01") + "R" +
				text("s") + "ctorch\nSize\n" + tuple(tuple("K\x02", "K\x03")) + "R" +
				text("t") + "ctorch\nbfloat16\n" +
				text("f") + "cbuiltins\nset\n" + tuple("](K\x01e") + "Ru.", nil,
			map[string]string{"p": `"/a/b"`, "d": `"cuda:1"`, "s": "[2,3]", "t": `"torch.bfloat16"`, "f": "[1]"},
		},
		{
			"what JSON has not", "](G\x7f\xf8\x00\x00\x00\x00\x00\x00G\xff\xf0\x00\x00\x00\x00\x00\x00\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01C\x02hie.", nil,
			map[string]string{"value": `["NaN","-Infinity",18446744073709551616,"aGk="]`},
		},
		{"empty dict", "}" + text("state") + "}s.", nil, map[string]string{"state": "{}"}},
		{"numpy scalars", "}(" + text("a") + "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n" + tuple(text("f8"), "\x89", "\x88") + "R" +
			tuple("K\x03", text("<"), "NNN", integer(-1), integer(-1), "K\x00") + "bc_codecs\nencode\n" + tuple(text("\x00\x00\x00\x00\x00\x00\u00e0?"), text("latin1")) + "RtR" +
			text("b") + "cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n" + tuple(text("i2"), "\x89", "\x88") + "R" +
			tuple("K\x03", text(">"), "NNN", integer(-1), integer(-1), "K\x00") + "bC\x02\x01\x00tRu.", nil, map[string]string{"a": "0.5", "b": "256"}},
		{"numpy array", "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + tuple("K\x00") + "C\x01btR(K\x01" + tuple("K\x02", "K\x02") +
			"cnumpy\ndtype\n" + tuple(text("u1"), "\x89", "\x88") + "R" + "\x88C\x04\x01\x03\x02\x04tb.", []string{"value"}, nil},
		{"protocol 1", "(lp0\nI5\naI01\naL7L\naF0.5\nag0\n0(I1\nI2\ntp1\n0g1\n.", nil, map[string]string{"value": "[1,2]"}},
	} {
		c, err := openProgram(t, tc.program)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if tc.meta == nil {
			tc.meta = map[string]string{}
		}
		if got := c.Names(); !slices.Equal(got, tc.names) || !reflect.DeepEqual(c.Meta, tc.meta) {
			t.Errorf("%s: got %q %q, want %q %q", tc.name, got, c.Meta, tc.names, tc.meta)
		}
		for _, name := range c.Names() {
			array(t, c, name)
		}
	}
}

// TestHostilePickles opens programs that would run code in Python, or eat the memory.
func TestHostilePickles(t *testing.T) {
	const refused = "not among the types that are read; nothing was executed"
	doubling := func(empty, fill string) string { // each level holds the one before it 10 times
		return empty + "q\x00" + strings.Repeat(strings.ReplaceAll(fill, "@", strings.Repeat("h\x00", 10))+"q\x00", 60) + "."
	}
	for _, tc := range []struct{ name, program, want string }{
		{"REDUCE", "cos\nsystem\n(" + text("touch pwned") + "tR.", `"os.system", which is ` + refused},
		{"GLOBAL alone", "cbuiltins\neval\n.", refused},
		{"STACK_GLOBAL", text("posix") + text("system") + "\x93" + tuple(text("id")) + "R.", refused},
		{"STACK_GLOBAL of pieces in a dict", "}" + text("os") + text("system") + "\x93.", refused},
		{"INST", "(" + text("id") + "ios\nsystem\n.", refused},
		{"OBJ", "(cos\nsystem\n" + text("id") + "o.", refused},
		{"NEWOBJ", "csubprocess\nPopen\n" + tuple(text("id")) + "\x81.", refused},
		{"NEWOBJ_EX", "csubprocess\nPopen\n" + tuple(text("id")) + "}\x92.", refused},
		{"BUILD with __setstate__", "cargparse\nNamespace\n)\x81}" + text("__setstate__") + "cos\nsystem\nsb" + text("id") + "b.", refused},
		{"BUILD of a class", "ccollections\nOrderedDict\n}b.", "sets the state of the class"},
		{"BUILD of a number", "K\x01}b.", "sets the state of an integer"},
		{"dotted name", text("collections") + text("OrderedDict.__init__.__globals__") + "\x93.", refused},
		{"getattr", "c__builtin__\ngetattr\n.", refused},
		{"a loader in a loader", "ctorch.storage\n_load_from_bytes\n.", refused},
		{"module of a list", "]]\x93.", "not text"},
		{"EXT1", "\x82\x01.", "opcode"},
		{"PERSID", "Pfoo\n.", "opcode"},
		{"call of a number", "K\x01)R.", "calls an integer"},
		{"call of a type", "cnumpy\nndarray\n)R.", "only be mentioned"},
		{"arguments that are no tuple", "ccollections\nOrderedDict\nK\x01R.", "for arguments"},
		{"keyword arguments", "cargparse\nNamespace\n)}" + text("a") + "K\x01s\x92.", "keyword"},
		{"billion laughs of lists", doubling("]", "](@e"), "repeats its parts"},
		{"billion laughs of tuples", doubling(")", "(@t"), "repeats its parts"},
		{"billion laughs of dicts", doubling("}", "}("+text("a")+"h\x00"+text("b")+"h\x00"+"u"), "far longer"},
		{"long text, often", text(strings.Repeat("a", 1<<20)) + "q\x000](" + strings.Repeat("h\x00", 10_000) + "e.", "texts are far longer"},
		{"a list in itself", "]q\x00h\x00a.", "nested more than"},
		{"a dict in itself", "}q\x00" + text("a") + "h\x00s.", "nested more than"},
		{"a namespace in itself", "cargparse\nNamespace\n)\x81q\x00}" + text("a") + "h\x00sb.", "nested more than"},
		{"deep", strings.Repeat("(", 300) + strings.Repeat("t", 300) + ".", "nested more than"},
		{"very deep", strings.Repeat("]", 1<<20) + strings.Repeat("a", 1<<20-1) + ".", "nested more than"},
		{"long keys, deep", strings.Repeat("}"+text(strings.Repeat("k", 1000)), 100) + "N" + strings.Repeat("s", 100) + ".", ""},
		{"many steps", strings.Repeat("N0", 5<<20) + "N.", "steps"},
		{"copies of a long list", "](" + strings.Repeat("N", 1<<20) + "eq\x00" + strings.Repeat("cbuiltins\nset\n(h\x00tR0", 100) + "N.", "steps"},
		{"text of 4 GB", "X\xff\xff\xff\xffabc.", "4294967295 more bytes"},
		{"text of 2^63", "\x8d\x00\x00\x00\x00\x00\x00\x00\x80abc.", "more bytes"},
		{"bytes of 2^64-1", "\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.", "more bytes"},
		{"negative text", "T\xff\xff\xff\xffabc.", "more bytes"},
		{"integer of 2 GB", "\x8b\xff\xff\xff\x7f.", "integer of"},
		{"integer of 1 kB", "\x8b\x00\x04\x00\x00" + strings.Repeat("a", 1024) + ".", "integer of"},
		{"line without end", "I" + strings.Repeat("1", 1<<20), "does not end"},
		{"frame of 2^64-1", "\x95\xff\xff\xff\xff\xff\xff\xff\xff", "1 more bytes"},
		{"protocol 6", "\x80\x06N.", "protocol 6"},
		{"empty stack", ".", "more values than there are"},
		{"pop below the mark", "N(0.", ""},
		{"tuple through a mark", "N(N\x86.", "more values than there are"},
		{"no mark", "Nt.", "there is none"},
		{"append to a number", "K\x01N" + "a.", "adds items to an integer"},
		{"items of a list", "](NNu.", "adds items to a list"},
		{"a key without a value", "}(Nu.", "key without a value"},
		{"a list for a key", "}]Ns.", "for a key"},
		{"memo not stored", "h\x05.", "not stored"},
		{"memo of nothing", "q\x05.", "more values"},
		{"negative memo", "Np-1\n.", "invalid syntax"},
		{"one name twice", "}(" + text("a.b") + floatTensor("0", 12, 0, []int{1}, []int{1}) + text("a") + "}" + text("b") +
			floatTensor("0", 12, 0, []int{1}, []int{1}) + "su.", `two tensors named "a.b"`},
		{"one value twice", "}(K\x01N" + text("1") + "Nu.", `two values named "1"`},
		{"storage alone", persistentID("torch\nFloatStorage", "0", 12) + ".", "a storage"},
		{"numpy objects", "cnumpy\ndtype\n" + tuple(text("O8")) + "R.", `"O8"`},
		{"numpy array without state", "cnumpy.core.multiarray\n_reconstruct\n)R.", "without content"},
		{"numpy array too short", "cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + tuple("K\x09") + "cnumpy\ndtype\n" + tuple(text("u1")) + "R\x89C\x01atb.", "needs 9 elements"},
		{"numpy scalar too short", "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n" + tuple(text("f8")) + "RC\x01atR.", "8 bytes"},
		{"wide letter as a byte", "c_codecs\nencode\n" + tuple(text("€"), text("latin1")) + "R.", "latin1"},
		{"another encoding", "c_codecs\nencode\n" + tuple(text("aa"), text("hex")) + "R.", "latin1"},
		{"nothing", "", "1 more bytes"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := openProgram(t, tc.program)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<30 {
			t.Errorf("%s: took %d bytes for a program of %d", tc.name, grown, len(tc.program))
		}
		if err == nil && tc.want == "" {
			continue // harmless, only odd
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %.300v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestRefusalSaysWhere(t *testing.T) {
	_, err := openProgram(t, "N0cos\nsystem\n.")
	if err == nil || !strings.Contains(err.Error(), `at byte 4 of its pickle: it names "os.system"`) {
		t.Errorf("got %v", err)
	}
}

func TestPthAsAFile(t *testing.T) {
	program := assemble(floatTensor("0", 1, 0, []int{1}, []int{1}), ".")
	data := []byte{0, 0, 0x80, 0x3f}
	good := pthOf(t, program, "0", data)
	damaged := slices.Clone(good)
	at := strings.Index(string(damaged), string(data))
	damaged[at] ^= 1
	c, err := openBytes(t, damaged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Array("value"); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a flipped bit in a storage: %v", err)
	}

	// torch.save can leave checksums out; then that of the pickle is wrong too.
	unchecked := slices.Clone(damaged)
	for i := range len(unchecked) - 4 {
		if string(unchecked[i:i+4]) == "PK\x01\x02" { // an entry of the table of contents; its checksum is at 16
			copy(unchecked[i+16:], "\x01\x02\x03\x04")
		}
	}
	if c, err = openBytes(t, unchecked); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Array("value"); err != nil || v.Data[0] != 1 {
		t.Errorf("a file without checksums: %v, %v", v, err)
	}

	compressed := zipOf(t, 8, "x/data.pkl", program, "x/data/0", data)
	if c, err = openBytes(t, compressed); err != nil {
		t.Fatal(err)
	}
	if v, err := array(t, c, "value").Float32(); err != nil || v[0] != 1 {
		t.Errorf("a compressed file: %v, %v", v, err)
	}

	for name, tc := range map[string]struct {
		file []byte
		want string
	}{
		"big endian":    {zipOf(t, 0, "x/data.pkl", program, "x/byteorder", "big", "x/data/0", data), "byte order"},
		"TorchScript":   {zipOf(t, 0, "x/data.pkl", program, "x/constants.pkl", "."), "TorchScript"},
		"members twice": {zipOf(t, 0, "x/data.pkl", program, "x/data/0", data, "x/data/0", data), "two members"},
		"another zip":   {zipOf(t, 8, "word/document.xml", "<xml/>"), `first member is "word/document.xml"`},
	} {
		if _, err := openBytes(t, tc.file); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestWhatIsNoCheckpoint(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"", "is empty"},
		{"<!DOCTYPE html><html>not found</html>", "a web page"},
		{"  <html>", "a web page"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull"},
		{"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "the pickle that begins at byte 21"},
		{"\x80\x04\x95\x0d\x00\x00\x00\x00\x00\x00\x00\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "the pickle that begins at byte 24"},
		{"L119547037146038801333356L\n.I1002\n.", "another version"},
		{"\x80\x04N.", "bare Python pickle"},
		{"\x89HDF\r\n\x1a\n", "HDF5"},
		{"\x1f\x8b\x08", "gzip"},
		{"\x89PNG\r\n", "PNG"},
		{"\x08\x03\x12\x0bonnx-caffe2", "no graph"},
		{strings.Repeat("\x00", 300), "zeros"},
		{strings.Repeat("\x00", 257) + "ustar", "tar file"},
		{"hello\n", `text: "hello\n"`},
		{"{\"a\": 1}", "JSON"},
		{"<?xml version='1.0'?><Error>", "download failed"},
		{"\x01\x02\x03", "first bytes are 01 02 03"},
		{"PK\x03\x04", "cut off"},
		{"\x93NUMPY", "does not begin"},
	} {
		_, err := openBytes(t, []byte(tc.file))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.20q: got %v, want %q", tc.file, err, tc.want)
		}
	}
	dir := t.TempDir()
	if _, err := ckpt.Open(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := ckpt.Open(filepath.Join(dir, "none")); !os.IsNotExist(err) && !strings.Contains(fmt.Sprint(err), "no such file") {
		t.Errorf("no file: %v", err)
	}
}
