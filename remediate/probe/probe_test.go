package probe

import (
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what Ask says into the cases")

// TestAsk asks the servers of testdata/servers. A case holds "config" (lines KEY VALUE), "server" (see server) and "want" (see summary). The
// clock is synctest's: pauses and patience cost nothing.
func TestAsk(t *testing.T) {
	files, err := filepath.Glob("testdata/servers/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{}
			for _, f := range a.Files {
				part[f.Name] = string(f.Data)
			}
			got := askCase(t, part["config"], part["server"])
			if *update {
				for i, f := range a.Files {
					if f.Name == "want" {
						a.Files[i].Data = []byte(got)
					}
				}
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(part["want"], got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func askCase(t *testing.T, config, script string) string {
	s := parseServer(t, script)
	l, c := parseConfig(t, config)
	s.implicit = l.TLS
	n := newNetwork()
	c.Dial, n.behind = n.dial, s.dial
	if strings.Contains(config, "arrives\n") {
		c.Arrived = func(_ context.Context, token string) (bool, error) {
			return strings.Contains(strings.Join(s.messages, ""), token), nil
		}
	}
	var got string
	synctest.Test(t, func(t *testing.T) {
		got = summary(Ask(t.Context(), l, c), s)
		s.open.Wait()
	})
	if n.most > max(c.Parallel, 1) {
		t.Errorf("there were %d connections at a time", n.most)
	}
	if c.Parallel > 1 { // how many connections learn the same thing is chance
		got = connections.ReplaceAllString(got, "connections some")
	}
	return got
}

var connections = regexp.MustCompile(`connections \d+`)

func parseConfig(t *testing.T, config string) (Listener, Config) {
	t.Helper()
	l := Listener{Addr: netip.MustParseAddrPort("192.0.2.1:25")}
	c := Config{From: netip.MustParseAddr("198.51.100.7"), Relay: true}
	for _, line := range strings.Split(strings.TrimSpace(config), "\n") {
		key, value, _ := strings.Cut(line, " ")
		var err error
		switch key {
		case "", "arrives":
		case "addr":
			l.Addr, err = netip.ParseAddrPort(value)
		case "tls":
			l.TLS = true
		case "name":
			l.Name = value
		case "domains":
			l.Domains = strings.Fields(value)
		case "local":
			l.Local = value
		case "inside":
			c.Relay = false
		case "forms":
			c.Forms = strings.Fields(value)
		case "deliver":
			c.Deliver = value
		case "parallel":
			c.Parallel = 4
		case "budget":
			c.Budget, err = time.ParseDuration(value)
		default:
			t.Fatalf("unknown key %q", key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return l, c
}
