//go:build browser

// The report in a real browser. make test-browser runs this; it needs Chromium.

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestReportInBrowser opens the report of a short run on a phone and on a desktop, in light, in dark and for print:
// nothing is fetched, nothing is complained about, nothing is wider than the screen, and charts and map answer.
// SCREENSHOTS names a folder to keep the pictures in, REPORT another report to look at.
func TestReportInBrowser(t *testing.T) {
	report := os.Getenv("REPORT")
	if report == "" {
		report = shortReport(t)
	}
	shots := os.Getenv("SCREENSHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	defer stop()
	for _, c := range []struct {
		name          string
		width, height int64
		mobile        bool
		scheme, media string
	}{
		{"desktop", 1280, 900, false, "light", ""},
		{"desktop-dark", 1280, 900, false, "dark", ""},
		{"phone", 390, 844, true, "light", ""},
		{"phone-dark", 360, 740, true, "dark", ""},
		{"print", 800, 1100, false, "dark", "print"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab, closeTab := chromedp.NewContext(allocator)
			defer closeTab()
			tab, cancel := context.WithTimeout(tab, time.Minute)
			defer cancel()
			complaints := listen(t, tab)
			size := emulation.SetDeviceMetricsOverrideParams{Width: c.width, Height: c.height, DeviceScaleFactor: 1, Mobile: c.mobile}
			if c.mobile {
				size.DeviceScaleFactor = 2
			}
			call(t, tab, emulation.SetDeviceMetricsOverride, size)
			call(t, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Media: c.media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}},
			})
			do(t, tab, chromedp.Navigate("file://"+report))
			do(t, tab, chromedp.WaitReady("footer"))
			checkLayout(t, tab, int(c.width))
			if c.media == "print" {
				checkPrint(t, tab, shots)
			} else {
				checkInteraction(t, tab)
			}
			evaluate[bool](t, tab, "(window.scrollTo(0, 0), true)")
			shot := do(t, tab, chromedp.FullScreenshot(90))
			if err := os.WriteFile(filepath.Join(shots, c.name+".jpg"), shot, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, complaint := range complaints() {
				t.Error(complaint)
			}
		})
	}
}

// shortReport trains for a few seconds and returns the path of the report.
func shortReport(t *testing.T) string {
	t.Helper()
	dir := draw(t, "4", "80")
	out := filepath.Join(t.TempDir(), "run")
	if code, _, stderr := ibot(t, "pretrain", "--recipe", "tiny", "--data", dir, "--out", out, "--epochs", "3", "--log_every", "1"); code != exitOK {
		t.Fatal(stderr)
	}
	return filepath.Join(out, "report.html")
}

// do runs an action and returns its value.
func do[T any](t *testing.T, tab context.Context, action chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(tab, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// evaluate runs JavaScript in the page and returns its value.
func evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	return do(t, tab, chromedp.Evaluate[T](script))
}

// call runs a command of the DevTools protocol.
func call[P, R any](t *testing.T, tab context.Context, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(tab, command, params); err != nil {
		t.Fatal(err)
	}
}

// listen collects errors of the console, exceptions, and requests for anything but the page itself.
func listen(t *testing.T, tab context.Context) func() []string {
	t.Helper()
	var mu sync.Mutex
	var complaints []string
	err := chromedp.Listen(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, fmt.Sprintf("exception: %s at %d:%d", e.ExceptionDetails.Text, e.ExceptionDetails.LineNumber, e.ExceptionDetails.ColumnNumber))
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, fmt.Sprintf("console: %s", e.Type))
		case *cdplog.EventEntryAdded:
			complaints = append(complaints, fmt.Sprintf("log: %s: %s", e.Entry.Level, e.Entry.Text))
		case *network.EventRequestWillBeSent:
			if url := e.Request.URL; !strings.HasPrefix(url, "data:") && !strings.HasSuffix(url, "/report.html") {
				complaints = append(complaints, fmt.Sprintf("it fetched %.100s", url))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(t, tab, network.Enable, network.EnableParams{})
	call(t, tab, cdplog.Enable, cdp.Empty{})
	call(t, tab, runtime.Enable, cdp.Empty{})
	return func() []string { mu.Lock(); defer mu.Unlock(); return complaints }
}

// checkLayout: nothing is wider than the screen, no picture is broken, no text of a chart lies on another.
func checkLayout(t *testing.T, tab context.Context, width int) {
	t.Helper()
	type layout struct {
		Scroll, Charts, Paths, Images, Broken, Overlaps, Map int
		Wide                                                 []string
	}
	found := evaluate[layout](t, tab, `(() => {
		const wide = [];
		for (const e of document.querySelectorAll("body *"))
			if (e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, pre, svg")) wide.push(e.tagName + "." + e.className);
		let overlaps = 0;
		for (const svg of document.querySelectorAll(".chart svg")) {
			const boxes = [...svg.querySelectorAll("text")].map(n => n.getBoundingClientRect());
			boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
				if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom - 2 && b.top + 2 < a.bottom - 2) overlaps++;
			}));
		}
		const images = [...document.images];
		return { Scroll: document.documentElement.scrollWidth, Charts: document.querySelectorAll(".chart svg").length,
			Paths: document.querySelectorAll(".chart svg path").length, Images: images.length,
			Broken: images.filter(i => i.complete && !i.naturalWidth).length, Overlaps: overlaps, Wide: wide.slice(0, 5),
			Map: document.querySelectorAll(".map circle").length };
	})()`)
	if found.Scroll > width || len(found.Wide) > 0 {
		t.Errorf("the page is %d wide on a screen of %d; too wide are %q", found.Scroll, width, found.Wide)
	}
	if found.Charts < 4 || found.Paths < found.Charts || found.Images < 20 || found.Broken > 0 || found.Overlaps > 0 || found.Map < 4 {
		t.Errorf("got %+v; want four charts or more with curves, pictures, a map, and no texts that overlap", found)
	}
}

// checkInteraction: pointing at a chart writes values, the arrow keys too, a name hides its curve, the map names
// images, a click enlarges a picture, the button changes the colours.
func checkInteraction(t *testing.T, tab context.Context) {
	t.Helper()
	point := func(selector string) {
		evaluate[bool](t, tab, fmt.Sprintf(`(() => {
			const e = document.querySelector(%q), b = e.getBoundingClientRect();
			return e.dispatchEvent(new PointerEvent("pointermove", { clientX: b.left + b.width / 2, clientY: b.top + b.height / 2, bubbles: true }));
		})()`, selector))
	}
	legend := func() string {
		return evaluate[string](t, tab, `document.querySelector(".chart .legend").textContent`)
	}
	before := legend()
	point(".chart svg")
	pointed := legend()
	evaluate[bool](t, tab, `document.querySelector(".chart svg").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }))`)
	keyed := legend()
	evaluate[bool](t, tab, `document.querySelector(".chart svg").dispatchEvent(new PointerEvent("pointerleave"))`)
	point(".map svg")
	mapped := evaluate[string](t, tab, `document.querySelector(".map .quiet").textContent`)
	hidden := evaluate[string](t, tab, `(() => {
		const n = () => document.querySelectorAll(".chart svg path").length, b = document.querySelector(".chart .legend button"), all = n();
		b.click(); const less = n(); b.click();
		return all + " " + less + " " + n();
	})()`)
	dialog := evaluate[string](t, tab, `(() => {
		document.querySelector(".tiles img").click();
		const d = document.querySelector("dialog"), open = d.open && d.querySelector("img").naturalWidth > 0;
		d.click();
		return open + " " + d.open;
	})()`)
	colours := evaluate[string](t, tab, `(() => {
		const c = () => getComputedStyle(document.body).backgroundColor, b = document.getElementById("theme"), first = c();
		b.click(); const second = c(); b.click();
		return first === second ? "the same" : c() === first ? "there and back" : "lost";
	})()`)
	if pointed == before || !strings.Contains(pointed, "step") || keyed == pointed {
		t.Errorf("the legend read %q, pointed at %q, after a key %q", before, pointed, keyed)
	}
	if mapped == "Point at the map." {
		t.Error("the map does not answer")
	}
	var all, less, again int
	if _, err := fmt.Sscan(hidden, &all, &less, &again); err != nil || less != all-1 || again != all {
		t.Errorf("hiding a curve left %q curves", hidden)
	}
	if dialog != "true false" || colours != "there and back" {
		t.Errorf("a click on a picture opened and closed: %s; the colours went %s", dialog, colours)
	}
}

// checkPrint: in print the page is light, and it becomes a PDF of some pages.
func checkPrint(t *testing.T, tab context.Context, shots string) {
	t.Helper()
	paper := evaluate[string](t, tab, `getComputedStyle(document.body).backgroundColor`)
	pdf := do(t, tab, chromedp.PrintToPDF())
	if paper != "rgb(255, 255, 255)" || len(pdf) < 10_000 {
		t.Errorf("in print the paper is %s, and the PDF has %d bytes", paper, len(pdf))
	}
	if err := os.WriteFile(filepath.Join(shots, "report.pdf"), pdf, 0o644); err != nil {
		t.Fatal(err)
	}
}
