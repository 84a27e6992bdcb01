// Package nginxtest runs Debian's nginx in front of what is tested: proxies hold
// back, reorder and retry what net/http never would.
package nginxtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Proxy is a running nginx, which is ended with its test.
type Proxy struct {
	// URL is where it serves, with TLS and HTTP/2.
	URL string

	roots *x509.CertPool
}

// Client returns a client that trusts the proxy's certificate and speaks HTTP/2,
// on a connection of its own: what nginx holds back goes out with the next frame
// of any stream of a connection.
func (p *Proxy) Client(t testing.TB) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Start runs nginx in front of backends, host:port each, between which it chooses
// in turns. location has further directives for the one location.
//
// Without nginx on the PATH the test is skipped, or fails if REQUIRE_ALL is 1.
func Start(t testing.TB, location string, backends ...string) *Proxy {
	t.Helper()
	program := Find(t)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nginx has a copy, which accepts from now on
	address := l.Addr().String()
	roots := writeCertificate(t, dir)
	write(t, dir, "nginx.conf", configuration(address, location, backends))

	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(program, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(os.Environ(), "NGINX=3;") // the listener's file descriptor, as when nginx is upgraded
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // its workers end, too
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", &said)
		}
	})
	return &Proxy{"https://" + address, roots}
}

// Find returns the path of nginx, which Debian installs where only root's PATH leads.
func Find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("nginx is not installed")
	}
	t.Skip("nginx is not installed")
	return ""
}

// configuration returns Debian's defaults as far as they matter to a proxy.
func configuration(address, location string, backends []string) string {
	var upstream strings.Builder
	for _, b := range backends {
		fmt.Fprintf(&upstream, "server %s; ", b)
	}
	return fmt.Sprintf(`
daemon off;
pid nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	upstream fleet { %s}
	server {
		listen %s ssl http2;
		ssl_certificate certificate.pem;
		ssl_certificate_key key.pem;
		location / {
			proxy_pass http://fleet;
			proxy_set_header Host $http_host;
			%s
		}
	}
}
`, &upstream, address, location)
}

// writeCertificate writes the certificate that httptest has for 127.0.0.1, and
// its key.
func writeCertificate(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	certificate := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "certificate.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return roots
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
