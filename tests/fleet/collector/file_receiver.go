package main

import (
	"context"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
)

// newFileReceiverFactory joins the two parts of contrib's otlpjsonfilereceiver, whose own module some proxies of Go modules
// lack: the reader of lines, with its default settings, and the parser of OTLP JSON.
func newFileReceiverFactory() receiver.Factory {
	create := func() component.Config { return fileconsumer.NewConfig() }
	return receiver.NewFactory(
		component.MustNewType("otlpjsonfile"), create, receiver.WithTraces(newFileReceiver, component.StabilityLevelAlpha),
	)
}

type fileReceiver struct{ lines *fileconsumer.Manager }

func newFileReceiver(
	_ context.Context, settings receiver.Settings, config component.Config, next consumer.Traces,
) (receiver.Traces, error) {
	unmarshaler := ptrace.JSONUnmarshaler{}
	emit := func(ctx context.Context, lines [][]byte, _ map[string]any, _ int64, _ []int64) error {
		for _, line := range lines {
			traces, err := unmarshaler.UnmarshalTraces(line)
			if err == nil {
				err = next.ConsumeTraces(ctx, traces)
			}
			if err != nil {
				settings.Logger.Error("a line is no message", zap.Error(err), zap.Int("bytes", len(line)))
			}
		}
		return nil
	}
	lines, err := config.(*fileconsumer.Config).Build(settings.TelemetrySettings, emit)
	return &fileReceiver{lines}, err
}

func (f *fileReceiver) Start(_ context.Context, _ component.Host) error { return f.lines.Start(nil) }

func (f *fileReceiver) Shutdown(_ context.Context) error { return f.lines.Stop() }
