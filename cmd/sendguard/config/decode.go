package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"sendguard/policy"

	"gopkg.in/yaml.v3"
)

// A decoder reads a configuration file strictly: it knows file, line and key
// of everything that is wrong, and goes on to find all of it.
type decoder struct {
	file     string
	lines    map[string]int  // of each key that the file has
	literal  map[string]bool // keys whose value is spelled out, without a variable
	problems []*Mistake
}

// decode reads text into c, which holds the defaults.
func (d *decoder) decode(text []byte, c *Config) {
	d.lines, d.literal = map[string]int{}, map[string]bool{}
	var doc, second yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	if err := documents.Decode(&doc); err != nil && err != io.EOF {
		d.syntax(err)
		return
	}
	switch err := documents.Decode(&second); {
	case err == nil: // what it says would not be in force
		d.problems = append(d.problems, d.mistake(second.Line, "", "a second YAML document: put all into one, without --- between"))
	case err != io.EOF:
		d.syntax(err)
		return
	}
	if len(doc.Content) > 0 {
		d.node(doc.Content[0], reflect.ValueOf(c).Elem(), "")
	}
}

var yamlAnchor = regexp.MustCompile(`anchor '[^']*'`) // may be a secret that begins with & or *

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax reports what the YAML parser says.
func (d *decoder) syntax(err error) {
	line := 1
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		fmt.Sscan(m[1], &line)
	}
	text := yamlAnchor.ReplaceAllString(yamlLine.ReplaceAllString(err.Error(), ""), "anchor")
	d.problems = append(d.problems, d.mistake(line, "", "not YAML: %s (is the indentation right, and without tabs?)", words(text)))
}

// problem notes that something is wrong with a key.
func (d *decoder) problem(key, format string, args ...any) {
	d.problems = append(d.problems, d.mistake(d.line(key), key, format, args...))
}

func (d *decoder) mistake(line int, key, format string, args ...any) *Mistake {
	return &Mistake{file: d.file, line: line, key: key, format: format, args: args}
}

// line is where a key stands. Where the file does not have it, that is where the
// nearest key above it does.
func (d *decoder) line(key string) int {
	for k := key; k != ""; k = k[:max(0, strings.LastIndexAny(k, ".["))] {
		if l, ok := d.lines[k]; ok {
			return l
		}
	}
	return 1
}

// err returns all problems in the order of their lines.
func (d *decoder) err() error {
	slices.SortStableFunc(d.problems, func(a, b *Mistake) int { return a.line - b.line })
	var all []error
	for _, p := range d.problems {
		all = append(all, p)
	}
	return errors.Join(all...)
}

// relative resolves a path against the folder of the configuration file.
func (d *decoder) relative(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.file), path)
}

// node decodes one YAML node into v; key is its path in the file.
func (d *decoder) node(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if _, ok := d.lines[key]; !ok {
		d.lines[key] = n.Line
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" || n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		if path := withoutNumbers(key); path != "policy.rules" && strings.HasPrefix(path, "policy.rules") {
			d.problem(key, "is empty, and would be for every message or none")
		}
		return // the defaults stay
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case (v.Kind() == reflect.Struct || v.Kind() == reflect.Array) && !isText:
		d.mapping(n, v, key)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, key)
	case n.Kind != yaml.ScalarNode:
		d.problem(key, "want a single value")
	case isText:
		d.text(n, v.Addr().Interface().(encoding.TextUnmarshaler), key)
	default:
		d.scalar(n, v, key)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		d.problem(key, "want keys with values below it")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		path := strings.TrimPrefix(key+"."+wordOf(name), ".")
		d.lines[path] = n.Content[i].Line
		field, ok := fieldOf(v, name)
		switch {
		case seen[name]:
			d.problem(path, "is there twice")
		case !ok:
			d.problem(path, "unknown key")
		default:
			d.node(n.Content[i+1], field, path)
		}
		seen[name] = true
	}
}

// wordOf cuts a key where it stops to look like one. In {password:secret}, which
// lacks a blank, all is the key, and the rest is not to be shown; nor is anything of
// what was never meant as a key, a domain for example.
func wordOf(name string) string {
	end := strings.IndexFunc(name, func(c rune) bool { return c != '_' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	switch {
	case end < 0:
		return name
	case name[end] != ':':
		return "…"
	}
	return name[:end] + "…"
}

// fieldOf finds the field of a struct by its yaml tag, or of limits by their table.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	if v.Kind() == reflect.Array {
		c, ok := policy.CountedOf(name)
		if !ok {
			return reflect.Value{}, false
		}
		return v.Index(int(c)), true
	}
	for i := range v.NumField() {
		if key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); key == name && v.Type().Field(i).IsExported() {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

var numbers = regexp.MustCompile(`\[\d+\]`)

func withoutNumbers(path string) string { return numbers.ReplaceAllString(path, "") }

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.SequenceNode {
		d.problem(key, "want a list: [a, b]")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		switch item := list.Index(i).Addr().Interface().(type) {
		case *routeConfig:
			*item = defaultRoute(i)
		case *ruleConfig:
			item.Name = "rule" + strconv.Itoa(i+1)
		}
		path := fmt.Sprintf("%s[%d]", key, i)
		d.lines[path] = item.Line
		d.node(item, list.Index(i), path)
	}
	v.Set(list)
}

func (d *decoder) text(n *yaml.Node, v encoding.TextUnmarshaler, key string) {
	value, err := expand(n.Value)
	if err == nil {
		err = v.UnmarshalText([]byte(value))
	}
	if err != nil {
		d.problem(key, "%q: %s", n.Value, words(err.Error()))
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string) {
	value, err := expand(n.Value)
	if err != nil {
		d.problem(key, "%s", words(err.Error()))
		return
	}
	d.literal[key] = value == n.Value
	expanded := *n
	if value != n.Value { // a variable may hold a number
		expanded = yaml.Node{Kind: yaml.ScalarNode, Value: value}
	}
	if v.Kind() == reflect.String {
		v.SetString(value)
	} else if expanded.Decode(v.Addr().Interface()) != nil {
		d.problem(key, "%q is not %s", n.Value, words(wanted(v)))
	}
}

// wanted says what a value must look like.
func wanted(v reflect.Value) string {
	switch {
	case v.Type().PkgPath() == "time":
		return "a duration like 30s or 5m"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a number"
}

var variable = regexp.MustCompile(`\$\$|\$\{([^}]*)\}|\$\{`)

// expand puts the values of environment variables in for ${NAME}, and a dollar
// sign for $$.
func expand(s string) (string, error) {
	var err error
	expanded := variable.ReplaceAllStringFunc(s, func(m string) string {
		if m == "$$" {
			return "$"
		}
		name := strings.TrimSuffix(strings.TrimPrefix(m, "${"), "}")
		value, ok := os.LookupEnv(name)
		if !ok {
			err = fmt.Errorf("the environment has no variable %q (write $$ for a dollar sign)", name)
		}
		return value
	})
	return expanded, err
}
