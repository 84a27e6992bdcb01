package bus

import (
	"os"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
