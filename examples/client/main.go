// Command client is an MCP client for the terminal, written with the client of
// the MCP Go SDK. It shows what a client of a server on many instances looks
// like: nothing in it knows how many there are.
//
//	go run ./examples/everything                                  # in one terminal
//	go run ./examples/client list                                 # in another
//	go run ./examples/client call echo '{"message":"hello"}'
//	go run ./examples/client call elicitInputs                    # the server asks back
//	go run ./examples/client -yes call sampleLLM '{"prompt":"hi"}'
//	go run ./examples/client read test://static/resource/1
//	go run ./examples/client subscribe test://static/resource/1   # until Ctrl-C
//	go run ./examples/client resume                               # see resume.go
//
// If the server wants an access token, the client prints the address where the
// user logs in and opens it in a browser (login.go). It keeps no tokens: each
// run logs in again.
//
// The flag -protocol says what it speaks (connect.go): the protocol with
// sessions (2025-11-25), the one without (2026-07-28), or the HTTP+SSE transport
// of 2024-11-05. Requests of the server are answered on the terminal, or, with
// -yes, by canned responses (responder.go).
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// A client is one run of the program.
type client struct {
	settings settings
	terminal *terminal
	link     *link

	// What notifications do beyond being printed. Commands set these before they
	// connect.
	onProgress func(progress float64)
	onUpdate   func(uri string)
}

type settings struct {
	endpoint     string
	protocol     protocol
	document     string
	callbackPort int
	openBrowser  bool
	canned       bool
	verbose      bool
}

// A command does what the first argument names, with the rest of them.
type command struct {
	name      string
	arguments string
	run       func(ctx context.Context, c *client, args []string) error
}

func commands() []command {
	return []command{
		{"list", "", list},
		{"call", "TOOL [ARGUMENTS AS JSON]", call},
		{"read", "URI", read},
		{"subscribe", "URI", subscribe},
		{"resume", "[SECONDS]", resume},
	}
}

// errUsage is what a command returns whose arguments do not fit it.
var errUsage = errors.New("wrong arguments")

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	settings, args, err := parse(args, out)
	if err != nil {
		return err
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return fmt.Errorf("there is no command %q; -h lists them", args[0])
	}
	cmd, term := all[i], &terminal{in: bufio.NewReader(in), out: out}
	c := &client{settings: settings, terminal: term, link: newLink(term, settings.verbose)}
	err = cmd.run(ctx, c, args[1:])
	if errors.Is(err, errUsage) {
		return fmt.Errorf("%w: client [flags] %s %s", err, cmd.name, cmd.arguments)
	}
	return err
}

// parse reads the flags and returns what is behind them, at least one argument.
func parse(args []string, out io.Writer) (settings, []string, error) {
	var s settings
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintln(out, "usage:")
		for _, cmd := range commands() {
			fmt.Fprintln(out, "  client [flags]", cmd.name, cmd.arguments)
		}
		flags.PrintDefaults()
	}
	protocol := flags.String("protocol", string(sessions), fmt.Sprintf("what to speak: %s, %s or %s", sessions, stateless, httpSSE))
	flags.StringVar(&s.endpoint, "url", "", "the server's endpoint (default "+sessions.defaultEndpoint()+", with -protocol=sse "+httpSSE.defaultEndpoint()+")")
	flags.StringVar(&s.document, "client-document", "", "log in as the client that this https URL describes, instead of registering as a new one")
	flags.IntVar(&s.callbackPort, "callback-port", 0, "the local port where a login ends (default any free one)")
	flags.BoolVar(&s.openBrowser, "browser", true, "open the login page in a browser, besides printing its address")
	flags.BoolVar(&s.canned, "yes", false, "answer the server's requests with canned responses instead of asking")
	flags.BoolVar(&s.verbose, "v", false, "print each HTTP request")
	if err := flags.Parse(args); err != nil {
		return s, nil, err
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return s, nil, flag.ErrHelp
	}
	var err error
	if s.protocol, err = parseProtocol(*protocol); err != nil {
		return s, nil, err
	}
	if s.endpoint == "" {
		s.endpoint = s.protocol.defaultEndpoint()
	}
	return s, flags.Args(), nil
}
