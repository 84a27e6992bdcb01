package mcp

// WithoutStandIns has the handler serve as it does when the SDK is not one that we know.
func (h *Handler) WithoutStandIns() { h.runner.UseStandIns(false) }
