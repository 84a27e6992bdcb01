package browsertest

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/auth/fakeupstream"
	"github.com/mcpfleet/mcpfleet/auth/server"
	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Origins of other sites than the servers': the browser takes them for 127.0.0.1.
const (
	appHost  = "app.example"
	evilHost = "evil.example"
)

// The pages wait for each other; a busy machine takes its time.
const timeout = 60 * time.Second

// chromium returns the program, or skips the test; it fails if the environment
// says that nothing may be missing.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	err := errors.New("there is no Chromium on the PATH")
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

// A browser is a running Chromium, whose windows are all private.
type browser struct{ ctx context.Context }

// shared is the browser of all tests.
var shared struct {
	once sync.Once
	browser
	err error
	end []context.CancelFunc
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, end := range slices.Backward(shared.end) {
		end()
	}
	os.Exit(code)
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := chromium(t)
	shared.once.Do(func() {
		// No sandbox: tests run as root in containers, and open pages of ours only.
		opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
			chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"))
		ctx, end := chromedp.NewExecAllocator(context.Background(), opts...)
		shared.end = append(shared.end, end)
		shared.ctx, end = chromedp.NewContext(ctx)
		shared.end = append(shared.end, end)
		shared.err = chromedp.Do(shared.ctx)
	})
	if shared.err != nil {
		t.Fatalf("start Chromium: %v", shared.err)
	}
	return &shared.browser
}

// A look is how a user sees pages.
type look struct {
	name          string
	scheme        string
	width, height int64
	mobile        bool
}

var looks = []look{
	{"light-wide", "light", 1024, 768, false},
	{"dark-wide", "dark", 1024, 768, false},
	{"light-phone", "light", 320, 640, true},
	{"dark-phone", "dark", 320, 640, true},
}

// A window is a private window: it shares nothing with others.
type window struct {
	*testing.T
	ctx   context.Context
	look  look
	shots int

	mu       sync.Mutex
	problems []string
}

// window opens one. When the test ends, nothing must have been reported in it.
func (b *browser) window(t *testing.T, l look) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // opens it; a time limit here would be the window's
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, timeout)
	t.Cleanup(cancel)
	w := &window{T: t, ctx: ctx, look: l}
	if err := chromedp.Listen(ctx, w.listen); err != nil {
		t.Fatal(err)
	}
	viewport := chromedp.EmulateViewport(l.width, l.height)
	if l.mobile {
		viewport = chromedp.EmulateViewport(l.width, l.height, chromedp.EmulateMobile)
	}
	w.do(viewport)
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.problems {
			t.Errorf("the browser reports: %s", p)
		}
	})
	return w
}

// listen notes what goes wrong in pages, such as something that their policy
// forbids.
func (w *window) listen(event any) {
	var problem string
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		problem = fmt.Sprint(e.Entry.Level, ": ", e.Entry.Text)
	case *runtime.EventExceptionThrown:
		problem = e.ExceptionDetails.Text
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, problem)
}

// forgive forgets what was reported, where that is what a test is about.
func (w *window) forgive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = nil
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		at, _ := chromedp.Run(w.ctx, chromedp.Location())
		w.Fatalf("at %s: %v", at, err)
	}
}

func run[T any](w *window, action chromedp.Action[T]) T {
	w.Helper()
	v, err := chromedp.Run(w.ctx, action)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// eval returns what an expression is in the page.
func eval[T any](w *window, expression string) T {
	w.Helper()
	return run(w, chromedp.Evaluate[T](expression))
}

// await waits until something is to be seen.
func (w *window) await(selector string) {
	w.Helper()
	w.do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

func (w *window) click(selector string) {
	w.Helper()
	w.do(chromedp.Click(chromedp.CSS(selector)))
}

// page checks a page for what every one must be, and keeps its picture.
func (w *window) page(name string) {
	w.Helper()
	w.shots++
	w.picture(fmt.Sprintf("%s-%d-%s.png", w.look.name, w.shots, name))
	if eval[bool](w, "document.documentElement.scrollWidth > innerWidth") {
		w.Errorf("%s: the page is wider than the screen", name)
	}
	if n := eval[int](w, "document.querySelectorAll('h1').length"); n != 1 {
		w.Errorf("%s: %d main headings", name, n)
	}
	for _, low := range eval[[]string](w, lowContrast) {
		w.Errorf("%s: low contrast: %s", name, low)
	}
	for _, small := range eval[[]string](w, smallTargets) {
		w.Errorf("%s: a finger hardly hits: %s", name, small)
	}
}

// picture writes a screenshot, if the environment says where to.
func (w *window) picture(name string) {
	w.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), run(w, chromedp.FullScreenshot(100)), 0o644); err != nil {
		w.Fatal(err)
	}
}

// lowContrast lists the texts of a page whose contrast with what is behind them
// is below 4.5 to 1 (WCAG 2.2, 1.4.3).
const lowContrast = `(() => {
	const parse = (color) => {
		const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
		return { rgb: [r, g, b], a };
	};
	const luminance = (rgb) => {
		const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.a === 1) return c.rgb;
		}
		return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
	};
	const low = [];
	for (const e of document.body.querySelectorAll("*")) {
		const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.tagName === "INPUT";
		if (!own || !e.checkVisibility() || e.tagName === "SCRIPT") continue;
		const [a, b] = [parse(getComputedStyle(e).color).rgb, behind(e)].map(luminance).sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) low.push(ratio.toFixed(2) + " " + e.outerHTML.slice(0, 80));
	}
	return low;
})()`

// smallTargets lists the controls that are smaller than 44 by 44 pixels (WCAG
// 2.2, 2.5.5).
const smallTargets = `[...document.querySelectorAll("button, input:not([type=hidden]), a.button")].filter((e) => {
	const box = e.getBoundingClientRect();
	return e.checkVisibility() && (box.width < 44 || box.height < 44);
}).map((e) => e.outerHTML.slice(0, 80))`

// A fleet is two instances of the authorization server with the fake upstream
// behind a balancer, and a client on another site.
type fleet struct {
	url       string
	client    string // the client's site
	prefix    string
	instances []instance
}

// An instance serves what its mux has, of which tests may add.
type instance struct {
	mux   *http.ServeMux
	redis rueidis.Client
	auth  *server.Server
}

var (
	scopes = []server.Scope{{Name: "tools:read", Description: "use tools that only read"}, {Name: "tools:write", Description: "use tools that change something"}, {Name: "notes", Description: "read and write your notes"}}

	// longName is the longest that a user can get to see.
	longName = "Extraordinarily-Long-Named Notebook Assistant of the Department of Redundancy and Repetition Department"
)

func newFleet(t *testing.T) *fleet {
	t.Helper()
	s := redistest.NewMiniredis(t)
	prefix := s.Prefix(t)
	fl := &fleet{client: newClient(t), prefix: prefix}
	muxes := []*http.ServeMux{http.NewServeMux(), http.NewServeMux()}
	var backends []*url.URL
	for _, mux := range muxes {
		backend := httptest.NewServer(mux)
		t.Cleanup(backend.Close)
		u, err := url.Parse(backend.URL)
		if err != nil {
			t.Fatal(err)
		}
		backends = append(backends, u)
	}
	front := httptest.NewServer(balance.New(balance.RoundRobin(), backends...))
	t.Cleanup(front.Close)
	fl.url = front.URL
	for _, mux := range muxes {
		redis := s.Client(t)
		upstream, err := fakeupstream.New(&fakeupstream.Options{Redis: redis, Prefix: prefix, BaseURL: fl.url})
		if err != nil {
			t.Fatal(err)
		}
		as, err := server.New(&server.Options{
			Redis: redis, Prefix: prefix, Issuer: fl.url, Resources: []string{fl.url + "/mcp"}, Scopes: scopes,
			Upstream: upstream, CallbackPath: fakeupstream.CallbackPath,
			Clients: []server.Client{{ID: "known", Name: "Notebook", RedirectURIs: []string{fl.client + "/callback"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		as.Handle(mux)
		mux.Handle(fakeupstream.AuthorizePath, upstream)
		fl.instances = append(fl.instances, instance{mux, redis, as})
	}
	return fl
}

// newClient starts a client on a site of its own: "localhost" is another than
// "127.0.0.1". Its page leads where to says; its callback shows what it got.
func newClient(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	page := template.Must(template.New("").Parse(`<!doctype html><link rel="icon" href="data:,"><a id="go" href="{{.}}">connect</a>`))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { _ = page.Execute(w, r.FormValue("to")) })
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><p id="done">done</p>`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}
