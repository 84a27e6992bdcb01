package signal

import "testing"

func TestAWakeSentBeforeItIsReceivedIsKeptOnce(t *testing.T) {
	t.Parallel()
	wake := NewWake()
	for range 2 {
		wake.Send()
	}
	<-wake
	select {
	case <-wake:
		t.Error("what was sent twice was received twice")
	default:
	}
}
