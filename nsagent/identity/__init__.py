"""Who a process is: container, pod and unit, decided from text alone; nothing here does I/O."""
