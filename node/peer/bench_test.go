package peer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// pair is two meshes on loopback over one transport.
func pair(b testing.TB, h Handler, listen ...string) (from *Mesh, to treaty.Nation) {
	b.Helper()
	fix := treatytest.New(4)
	names := fix.Net.Nations()[:2]
	addrs := map[treaty.Nation][]string{}
	var hosts []host.Host
	for _, n := range names {
		x, err := NewHost(HostConfig{Net: fix.Net, Nation: n, Key: fix.Keys[n].Node, Listen: listen, Log: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range x.Addrs() {
			addrs[n] = append(addrs[n], a.String())
		}
		hosts = append(hosts, x)
	}
	var meshes []*Mesh
	for i, n := range names {
		m, err := New(Config{Host: hosts[i], Net: fix.Net, Nation: n, Peers: addrs, Handler: h, Registerer: prometheus.NewRegistry(), Log: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		meshes = append(meshes, m)
		if err := m.Start(); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() {
		for i := range meshes {
			meshes[i].Close()
			hosts[i].Close()
		}
	})
	if !meshes[0].links[names[1]].await() {
		b.Fatal("not connected")
	}
	return meshes[0], names[1]
}

var transports = map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"}

// TestLoopback would catch a host that does not work on real sockets, or that dials QUIC where TCP answers.
func TestLoopback(t *testing.T) {
	got := make(chan string, 1)
	m, to := pair(t, func(from treaty.Nation, c Class, msg []byte) { got <- string(from) + c.String() + string(msg) },
		transports["tcp"], transports["quic"])
	if !m.Send(to, Records, []byte("x")) {
		t.Fatal("not taken")
	}
	if s := <-got; s != "AUTrecordsx" {
		t.Error(s)
	}
	if s := m.Status()[0]; s.Transport != "tcp" {
		t.Errorf("%+v", s)
	}
	if _, err := m.Call(context.Background(), to, MethodPing, nil); err != nil {
		t.Error(err)
	}
}

// BenchmarkOneWay prints what one stream carries: records of 256 bytes and batches of 1 MiB.
func BenchmarkOneWay(b *testing.B) {
	for name, listen := range transports {
		for _, k := range []struct {
			c    Class
			size int
		}{{Records, 256}, {Evidence, 1 << 20}} {
			b.Run(fmt.Sprintf("%s/%s-%d", name, k.c, k.size), func(b *testing.B) {
				var got atomic.Int64
				m, to := pair(b, func(treaty.Nation, Class, []byte) { got.Add(1) }, listen)
				msg := make([]byte, k.size)
				b.SetBytes(int64(k.size))
				sent := int64(0)
				for b.Loop() {
					for !m.Send(to, k.c, msg) { // full: let it drain
						time.Sleep(50 * time.Microsecond)
					}
					sent++
				}
				for got.Load() < sent {
					time.Sleep(50 * time.Microsecond)
				}
			})
		}
	}
}

// BenchmarkCall prints the time of one request with one under way.
func BenchmarkCall(b *testing.B) {
	for name, listen := range transports {
		b.Run(name, func(b *testing.B) {
			m, to := pair(b, func(treaty.Nation, Class, []byte) {}, listen)
			for b.Loop() {
				if _, err := m.Call(context.Background(), to, MethodPing, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
