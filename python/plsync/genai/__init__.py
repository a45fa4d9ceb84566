"""Calls in the form of OpenTelemetry's conventions for generative AI (``gen_ai``), for engines and collectors."""
