"""Records as spans of OpenTelemetry, for collectors and for files of OTLP JSON lines."""
