// A host made with Go's x/crypto/ssh: a host certificate, and the user CA trusted.
//
// Arguments: host key (its certificate beside it), file with the user CA, address. Serves until it
// is killed; a command's output is what it was given on standard input, then its own text.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
)

func read(path string) []byte {
	text, err := os.ReadFile(path)
	check(err)
	return text
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	key, err := ssh.ParsePrivateKey(read(os.Args[1]))
	check(err)
	shown, _, _, _, err := ssh.ParseAuthorizedKey(read(os.Args[1] + "-cert.pub"))
	check(err)
	signer, err := ssh.NewCertSigner(shown.(*ssh.Certificate), key)
	check(err)
	authority, _, _, _, err := ssh.ParseAuthorizedKey(read(os.Args[2]))
	check(err)
	checker := ssh.CertChecker{
		IsUserAuthority: func(key ssh.PublicKey) bool {
			return bytes.Equal(key.Marshal(), authority.Marshal())
		},
	}
	config := &ssh.ServerConfig{PublicKeyCallback: checker.Authenticate}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", os.Args[3])
	check(err)
	fmt.Println("listening")
	for {
		conn, err := listener.Accept()
		check(err)
		go serve(conn, config)
	}
}

func serve(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err == nil {
			go session(channel, requests)
		}
	}
}

func session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for request := range requests {
		if request.Type != "exec" {
			request.Reply(false, nil)
			continue
		}
		var asked struct{ Command string }
		ssh.Unmarshal(request.Payload, &asked)
		request.Reply(true, nil)
		go func() {
			io.Copy(channel, channel)
			fmt.Fprintf(channel, "command: %s\n", asked.Command)
			fmt.Fprintln(channel.Stderr(), "to stderr")
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{7}))
			channel.Close()
		}()
	}
}
