"""What every adapter does alike. Nothing in here imports a framework or a driver."""
