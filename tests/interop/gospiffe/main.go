// The reference client library as a peer, driven by tests/interop/test_go_spiffe.py. Every line of
// output is one JSON object with an "event".
//
//	gospiffe watch SOCKET                     X.509 contexts until killed
//	gospiffe bundles SOCKET                   the X.509 bundles, once
//	gospiffe serve SOCKET PEER                an mTLS echo server that admits PEER alone
//	gospiffe call SOCKET ADDRESS PEER COUNT   COUNT connections, one line there and back in each
//	gospiffe thief-call CERT ADDRESS          shows CERT and signs with a key that is not its own
//	gospiffe thief-serve CERT                 the same as a server
package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

const patience = 20 * time.Second

var output sync.Mutex

func emit(event string, fields map[string]any) {
	fields["event"] = event
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(fields); err != nil {
		os.Exit(1)
	}
}

func address(socket string) workloadapi.ClientOption {
	return workloadapi.WithAddr("unix://" + socket)
}

func serials(certificates []*x509.Certificate) []string {
	list := []string{}
	for _, c := range certificates {
		list = append(list, c.SerialNumber.Text(16))
	}
	return list
}

func describe(bundles *x509bundle.Set) map[string][]string {
	roots := map[string][]string{}
	for _, bundle := range bundles.Bundles() {
		roots[bundle.TrustDomain().Name()] = serials(bundle.X509Authorities())
	}
	return roots
}

type watcher struct{}

func (watcher) OnX509ContextUpdate(c *workloadapi.X509Context) {
	svids := []map[string]any{}
	for _, svid := range c.SVIDs {
		_, err := svid.Certificates[0].Verify(x509.VerifyOptions{
			Roots: pool(c.Bundles, svid.ID), Intermediates: poolOf(svid.Certificates[1:]),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		svids = append(svids, map[string]any{
			"spiffe_id": svid.ID.String(), "hint": svid.Hint, "chain": serials(svid.Certificates),
			"not_after": svid.Certificates[0].NotAfter.Unix(), "verified": err == nil,
		})
	}
	emit("update", map[string]any{"svids": svids, "roots": describe(c.Bundles)})
}

func (watcher) OnX509ContextWatchError(err error) {
	emit("error", map[string]any{"code": status.Code(err).String(), "text": err.Error()})
}

func poolOf(certificates []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certificates {
		p.AddCert(c)
	}
	return p
}

func pool(bundles *x509bundle.Set, id spiffeid.ID) *x509.CertPool {
	bundle, err := bundles.GetX509BundleForTrustDomain(id.TrustDomain())
	if err != nil {
		return x509.NewCertPool()
	}
	return poolOf(bundle.X509Authorities())
}

func watch(ctx context.Context, socket string) error {
	return workloadapi.WatchX509Context(ctx, watcher{}, address(socket))
}

func bundles(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	set, err := workloadapi.FetchX509Bundles(ctx, address(socket))
	if err != nil {
		return err
	}
	emit("bundles", map[string]any{"roots": describe(set)})
	return nil
}

func source(ctx context.Context, socket string) (*workloadapi.X509Source, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(address(socket)))
}

func echo(connection *tls.Conn) {
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		emit("refused", map[string]any{"text": err.Error()})
		return
	}
	peer, err := spiffetls.PeerIDFromConnectionState(connection.ConnectionState())
	if err != nil {
		emit("refused", map[string]any{"text": err.Error()})
		return
	}
	emit("served", map[string]any{"peer": peer.String()})
	_, _ = io.WriteString(connection, line)
}

func serve(ctx context.Context, socket string, peer spiffeid.ID) error {
	svids, err := source(ctx, socket)
	if err != nil {
		return err
	}
	defer svids.Close()
	config := tlsconfig.MTLSServerConfig(svids, svids, tlsconfig.AuthorizeID(peer))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	emit("listening", map[string]any{"address": listener.Addr().String()})
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(connection.(*tls.Conn))
	}
}

func callOnce(ctx context.Context, config *tls.Config, to, line string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(connection, line); err != nil {
		return err
	}
	back, err := bufio.NewReader(connection).ReadString('\n')
	if err == nil && back != line {
		err = fmt.Errorf("sent %q, got %q back", line, back)
	}
	return err
}

func call(ctx context.Context, socket, to string, peer spiffeid.ID, count int) error {
	svids, err := source(ctx, socket)
	if err != nil {
		return err
	}
	defer svids.Close()
	config := tlsconfig.MTLSClientConfig(svids, svids, tlsconfig.AuthorizeID(peer))
	for i := range count {
		if err := callOnce(ctx, config, to, fmt.Sprintf("line %d\n", i)); err != nil {
			return fmt.Errorf("call %d of %d: %w", i+1, count, err)
		}
	}
	emit("called", map[string]any{"count": count})
	return nil
}

// stolen is a TLS end that shows somebody's certificate without holding its key.
func stolen(path string) (*tls.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	shown := tls.Certificate{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		shown.Certificate = append(shown.Certificate, block.Bytes)
	}
	if shown.PrivateKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{shown}, InsecureSkipVerify: true,
		ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}, nil
}

func thiefCall(ctx context.Context, certificate, to string) error {
	config, err := stolen(certificate)
	if err != nil {
		return err
	}
	return callOnce(ctx, config, to, "stolen\n")
}

func thiefServe(certificate string) error {
	config, err := stolen(certificate)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	emit("listening", map[string]any{"address": listener.Addr().String()})
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(connection.(*tls.Conn))
	}
}

func usage() error {
	return errors.New("wrong usage: main.go says the right one")
}

func run(args []string) error {
	ctx := context.Background()
	switch {
	case len(args) == 2 && args[0] == "watch":
		return watch(ctx, args[1])
	case len(args) == 2 && args[0] == "bundles":
		return bundles(ctx, args[1])
	case len(args) == 3 && args[0] == "serve":
		peer, err := spiffeid.FromString(args[2])
		if err != nil {
			return err
		}
		return serve(ctx, args[1], peer)
	case len(args) == 3 && args[0] == "thief-call":
		return thiefCall(ctx, args[1], args[2])
	case len(args) == 2 && args[0] == "thief-serve":
		return thiefServe(args[1])
	case len(args) == 5 && args[0] == "call":
		peer, err := spiffeid.FromString(args[3])
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		return call(ctx, args[1], args[2], peer, count)
	}
	return usage()
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		emit("failed", map[string]any{"code": status.Code(err).String(), "text": err.Error()})
		os.Exit(1)
	}
}
