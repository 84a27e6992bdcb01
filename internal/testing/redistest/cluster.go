package redistest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// clusterNodes is the least number of nodes Redis Cluster is made for.
const clusterNodes = 3

const slots = 16384

// startCluster starts three servers and makes them a cluster.
func startCluster() (_ *Server, nodes []*process, err error) {
	defer func() {
		if err != nil {
			for _, p := range nodes {
				p.remove()
			}
		}
	}()
	server := &Server{Kind: Cluster}
	for range clusterNodes {
		p, err := startProcess([]string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"})
		if err != nil {
			return nil, nodes, err
		}
		nodes = append(nodes, p)
		server.addrs = append(server.addrs, p.addr())
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := joinCluster(ctx, nodes); err != nil {
		return nil, nodes, fmt.Errorf("make a cluster: %w", err)
	}
	return server, nodes, nil
}

func joinCluster(ctx context.Context, nodes []*process) error {
	clients := make([]rueidis.Client, len(nodes))
	for i, p := range nodes {
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.addr()}, ForceSingleClient: true, DisableCache: true})
		if err != nil {
			return err
		}
		defer c.Close()
		clients[i] = c
	}
	for i, c := range clients {
		if err := assignSlots(ctx, c, i, nodes[0]); err != nil {
			return err
		}
	}
	for _, c := range clients {
		if err := waitClusterOK(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// assignSlots gives node i its third of the slots and has it meet the first.
func assignSlots(ctx context.Context, c rueidis.Client, i int, first *process) error {
	from, to := int64(slots*i/clusterNodes), int64(slots*(i+1)/clusterNodes-1)
	cmds := []rueidis.Completed{
		c.B().ClusterSetConfigEpoch().ConfigEpoch(int64(i + 1)).Build(),
		c.B().ClusterAddslotsrange().StartSlotEndSlot().StartSlotEndSlot(from, to).Build(),
	}
	if i > 0 {
		cmds = append(cmds, c.B().ClusterMeet().Ip("127.0.0.1").Port(int64(first.port)).Build())
	}
	for _, r := range c.DoMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

// waitClusterOK returns once the node knows who serves every slot.
func waitClusterOK(ctx context.Context, c rueidis.Client) error {
	want := []string{
		"cluster_state:ok", "cluster_slots_ok:" + strconv.Itoa(slots),
		"cluster_known_nodes:" + strconv.Itoa(clusterNodes), "cluster_size:" + strconv.Itoa(clusterNodes),
	}
	for {
		info, err := c.Do(ctx, c.B().ClusterInfo().Build()).ToString()
		if err != nil {
			return err
		}
		if containsAll(info, want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the node says:\n%s", ctx.Err(), info)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func containsAll(s string, all []string) bool {
	for _, one := range all {
		if !strings.Contains(s, one+"\r\n") {
			return false
		}
	}
	return true
}
