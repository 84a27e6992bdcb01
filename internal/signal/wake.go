package signal

// A Wake wakes the one goroutine that receives from it. It is safe for concurrent
// use, and made by [NewWake].
type Wake chan struct{}

// NewWake returns a wake that has not been sent.
func NewWake() Wake { return make(Wake, 1) }

// Send wakes the receiver, now or when it next receives. It does not block: what
// is sent several times before that is received once.
func (w Wake) Send() {
	select {
	case w <- struct{}{}:
	default:
	}
}
