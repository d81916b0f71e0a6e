namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// A token that is cancelled asynchronously when another one is. Npgsql may throw from within the cancellation of a token that is opening a connection. With the stopping token
/// of a background service, that exception would fail the shutdown of the whole host.
/// </summary>
internal sealed class SeparateCancellation : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly CancellationTokenRegistration _registration;

    public SeparateCancellation(CancellationToken cancellationToken) =>
        _registration = cancellationToken.UnsafeRegister(static source => _ = ((CancellationTokenSource)source!).CancelAsync(), _source);

    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        _registration.Dispose();
        _source.Dispose();
    }
}
