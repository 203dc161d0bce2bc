"""What a run reports: metrics, samples, throughput, the screen, the HTML page."""
