package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
)

const (
	typeHandshake   = 22
	typeApplication = 23
)

// direction is one traffic secret in use: what Go wrote is opened with it, what goes out is sealed.
type direction struct {
	aead           cipher.AEAD
	iv             []byte
	opened, sealed uint64
}

// rewriter puts the handshake messages that Go writes into records of its own size, the encrypted
// ones too: the key log tells it the secrets. Only TLS_AES_128_GCM_SHA256, which both ends prefer.
type rewriter struct {
	net.Conn
	size, pad int

	lock    sync.Mutex
	secrets map[string][]byte // by the key log's label, those not in use yet
	now     *direction        // the one in use
}

// keyLog takes the lines of crypto/tls: label, client random, secret.
type keyLog struct{ *rewriter }

func (l keyLog) Write(line []byte) (int, error) {
	words := strings.Fields(string(line))
	secret, err := hex.DecodeString(words[2])
	if err == nil {
		l.secrets[words[0]] = secret
	}
	return len(line), err
}

func expand(secret []byte, label string, length int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len(label)))
	info = append(append(info, label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), length)
	if err != nil {
		panic(err)
	}
	return out
}

func newDirection(secret []byte) *direction {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &direction{aead: aead, iv: expand(secret, "iv", 12)}
}

func (d *direction) nonce(sequence uint64) []byte {
	nonce := bytes.Clone(d.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(sequence >> (56 - 8*i))
	}
	return nonce
}

// open returns content and type of an encrypted record.
func (d *direction) open(record []byte) ([]byte, byte, bool) {
	plain, err := d.aead.Open(nil, d.nonce(d.opened), record[5:], record[:5])
	if err != nil {
		return nil, 0, false
	}
	d.opened++
	plain = bytes.TrimRight(plain, "\x00")
	return plain[:len(plain)-1], plain[len(plain)-1], true
}

func (d *direction) seal(content []byte, kind byte, pad int) []byte {
	inner := append(append(bytes.Clone(content), kind), make([]byte, pad)...)
	head := header(typeApplication, len(inner)+16)
	sealed := d.aead.Seal(head, d.nonce(d.sealed), inner, head)
	d.sealed++
	return sealed
}

func header(kind byte, length int) []byte {
	return binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(length))
}

// decrypt opens a record with the secret in use, or with the next one of the same end.
func (r *rewriter) decrypt(record []byte) ([]byte, byte) {
	if r.now != nil {
		if content, kind, ok := r.now.open(record); ok {
			return content, kind
		}
	}
	for label, secret := range r.secrets {
		next := newDirection(secret)
		if content, kind, ok := next.open(record); ok {
			delete(r.secrets, label)
			r.now = next
			return content, kind
		}
	}
	panic(fmt.Sprintf("no secret of %d opens the record", len(r.secrets)))
}

func (r *rewriter) rewrite(record []byte) []byte {
	kind, content, encrypted := record[0], record[5:], record[0] == typeApplication
	if encrypted {
		content, kind = r.decrypt(record)
	}
	size := len(content)
	if kind == typeHandshake && r.size > 0 {
		size = r.size
	}
	out := []byte{}
	for first := true; first || len(content) > 0; first = false {
		n := min(size, len(content))
		if encrypted {
			out = append(out, r.now.seal(content[:n], kind, r.pad)...)
		} else {
			out = append(append(out, header(kind, n)...), content[:n]...)
		}
		content = content[n:]
	}
	return out
}

// Write takes whole records: crypto/tls writes no parts of them.
func (r *rewriter) Write(data []byte) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	out := []byte{}
	for rest := data; len(rest) > 0; {
		length := 5 + int(binary.BigEndian.Uint16(rest[3:5]))
		out = append(out, r.rewrite(rest[:length])...)
		rest = rest[length:]
	}
	_, err := r.Conn.Write(out)
	return len(data), err
}
