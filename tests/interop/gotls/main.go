// Go's crypto/tls as a peer that splits and pads its records in any way, driven by
// tests/interop/test_tls_records.py. Every line of output is one JSON object with an "event".
//
//	gotls serve -cert C -key K -size N [-groups G,…]          an mTLS echo server
//	gotls call -cert C -key K -size N [-groups G,…] ADDRESS   one line there and back
//
// Whoever the other end is, is not looked at: judging is what is tested there.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const patience = 20 * time.Second

func emit(event string, fields map[string]any) {
	fields["event"] = event
	if err := json.NewEncoder(os.Stdout).Encode(fields); err != nil {
		os.Exit(1)
	}
}

func fatal(err error) {
	emit("error", map[string]any{"text": err.Error()})
	os.Exit(1)
}

var groups = map[string]tls.CurveID{
	"P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
	"X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768,
}

type options struct {
	config *tls.Config
	size   int
	pad    int
}

// session is one TLS connection whose writes go through a rewriter.
func (o options) session(raw net.Conn, make func(net.Conn, *tls.Config) *tls.Conn) *tls.Conn {
	r := &rewriter{Conn: raw, size: o.size, pad: o.pad, secrets: map[string][]byte{}}
	config := o.config.Clone()
	config.KeyLogWriter = keyLog{r}
	raw.SetDeadline(time.Now().Add(patience))
	return make(r, config)
}

func (o options) serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fatal(err)
	}
	emit("listening", map[string]any{"address": listener.Addr().String()})
	for {
		raw, err := listener.Accept()
		if err != nil {
			fatal(err)
		}
		go func() {
			defer raw.Close()
			conn := o.session(raw, tls.Server)
			if err := conn.Handshake(); err != nil {
				emit("refused", map[string]any{"text": err.Error()})
				return
			}
			emit("served", map[string]any{"group": conn.ConnectionState().CurveID.String()})
			io.Copy(conn, conn)
			conn.CloseWrite()
		}()
	}
}

func (o options) call(address string) {
	raw, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		fatal(err)
	}
	conn := o.session(raw, tls.Client)
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		fatal(err)
	}
	emit("echoed", map[string]any{"line": line})
}

func main() {
	flags := flag.NewFlagSet("gotls", flag.ExitOnError)
	cert := flags.String("cert", "", "certificate chain")
	key := flags.String("key", "", "private key")
	size := flags.Int("size", 0, "bytes of a handshake message in one record, 0: as Go does")
	pad := flags.Int("pad", 0, "bytes of padding in each encrypted record")
	list := flags.String("groups", "", "groups to offer")
	if len(os.Args) < 2 {
		fatal(fmt.Errorf("serve or call?"))
	}
	flags.Parse(os.Args[2:])
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert}
	for _, name := range strings.Split(*list, ",") {
		if id, ok := groups[name]; ok {
			config.CurvePreferences = append(config.CurvePreferences, id)
		}
	}
	o := options{config: config, size: *size, pad: *pad}
	if os.Args[1] == "serve" {
		o.serve()
	}
	o.call(flags.Arg(0))
}
