namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// A token that is cancelled when another is, and apart from it. Npgsql throws out of the cancellation of a token with which a connection is being
/// opened; in a background service that would end the whole stop of the service with an error.
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
