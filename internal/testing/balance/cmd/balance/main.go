// Command balance spreads requests over the backends it is given, at random.
//
//	balance [-listen address] http://host:port...
//
// It prints its own URL and runs until it is killed.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	var backends []*url.URL
	for _, arg := range flag.Args() {
		u, err := url.Parse(arg)
		if err != nil || u.Host == "" {
			log.Fatalf("balance: %q is not a URL", arg)
		}
		backends = append(backends, u)
	}
	if len(backends) == 0 {
		log.Fatal("balance: no backend given")
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", ln.Addr())
	server := &http.Server{Handler: balance.New(balance.Random, backends...), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(ln))
}
