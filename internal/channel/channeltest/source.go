package channeltest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ConstantTime reads the Go sources of one folder (tests apart) and lists where a signature, token or secret is compared in
// a way that takes longer the more of it is right (FAULTS 21). compares counts the comparisons in constant time.
//
// It goes by names: an operand of ==, !=, switch, bytes.Equal, strings.EqualFold and their like that is called signature,
// mac, digest, token, secret or password. Comparing with "", nil or a length is fine: it tells only whether there is one.
func ConstantTime(dir string) (problems []string, compares int) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return []string{fmt.Sprintf("read the sources in %s: %v", dir, err)}, 0
	}
	for _, file := range files {
		name := file.Name()
		if file.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return append(problems, err.Error()), compares
		}
		found, n := constantTime(name, source)
		problems, compares = append(problems, found...), compares+n
	}
	return problems, compares
}

func constantTime(name string, source []byte) (problems []string, compares int) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return []string{fmt.Sprintf("read %s: %v", name, err)}, 0
	}
	problem := func(at ast.Node, what string) {
		problems = append(problems, fmt.Sprintf("%s: %s compares a secret; use hmac.Equal or subtle.ConstantTimeCompare", files.Position(at.Pos()), what))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (secretive(n.X) && !harmless(n.Y) || secretive(n.Y) && !harmless(n.X)) {
				problem(n, n.Op.String())
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && secretive(n.Tag) {
				problem(n, "switch")
			}
		case *ast.CallExpr:
			callee := calleeOf(n)
			if callee == "hmac.Equal" || callee == "subtle.ConstantTimeCompare" {
				compares++
			}
			if leaky[callee] && (anySecretive(n.Args)) {
				problem(n, callee)
			}
		}
		return true
	})
	return problems, compares
}

var leaky = map[string]bool{
	"bytes.Equal": true, "bytes.Compare": true, "bytes.EqualFold": true, "strings.EqualFold": true, "strings.Compare": true,
	"slices.Equal": true, "slices.Compare": true, "slices.Contains": true, "reflect.DeepEqual": true, "cmp.Compare": true,
}

var secretName = regexp.MustCompile(`(?i)^(sig|mac|hmac|.*signature|.*digest|.*(hub|verify|access|app|account|client|webhook|given|want|expected)_?-?(token|secret|sig|mac).*|token|secret|password|.*password)$`)

// secretive says whether an expression is called like something that must not leak.
func secretive(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return secretName.MatchString(e.Name)
	case *ast.SelectorExpr:
		return secretName.MatchString(e.Sel.Name)
	case *ast.IndexExpr:
		return secretive(e.X) || secretive(e.Index)
	case *ast.BasicLit:
		return secretName.MatchString(strings.Trim(e.Value, `"`+"`"))
	case *ast.ParenExpr:
		return secretive(e.X)
	case *ast.StarExpr:
		return secretive(e.X)
	case *ast.CallExpr:
		switch callee := calleeOf(e); {
		case callee == "len":
			return false
		case strings.HasSuffix(callee, ".Get") || strings.HasSuffix(callee, ".Sum") || strings.HasSuffix(callee, ".Secret") ||
			callee == "string" || strings.HasPrefix(callee, "strings.") || strings.HasPrefix(callee, "hex."):
			return strings.HasSuffix(callee, ".Sum") || strings.HasSuffix(callee, ".Secret") || anySecretive(e.Args)
		}
	}
	return false
}

func anySecretive(all []ast.Expr) bool {
	for _, e := range all {
		if secretive(e) {
			return true
		}
	}
	return false
}

// harmless says that comparing with e tells only whether there is a value at all.
func harmless(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value == `""` || e.Kind == token.INT
	case *ast.Ident:
		return e.Name == "nil"
	}
	return false
}

func calleeOf(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	}
	return ""
}
