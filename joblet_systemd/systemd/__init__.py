"""The only code that talks to PID 1 and journald. It knows units and bytes, not jobs."""
