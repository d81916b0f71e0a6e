using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.AspNetCore.DataProtection.XmlEncryption;
using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Security;

namespace Platform.Backend.Owners;

/// <summary>
/// Stores the data protection keys of sessions and forms in the database, so that all replicas share them. They are encrypted with the internal token, so that a copy of
/// the database is not sufficient to forge sessions.
/// </summary>
internal static class SessionKeys
{
    public static void AddSessionKeys(this IHostApplicationBuilder builder)
    {
        builder.Services.AddDataProtection().SetApplicationName("platform-backend");
        builder.Services.AddSingleton<SessionKeyStore>();
        builder.Services.AddSingleton<SessionKeyEncryption>();
        builder.Services.AddOptions<KeyManagementOptions>().Configure<SessionKeyStore, SessionKeyEncryption>((options, store, encryption) =>
            (options.XmlRepository, options.XmlEncryptor) = (store, encryption));

        // Removes the framework's hosted service, which would read the keys before the migrations have created the table.
        foreach (var eager in builder.Services.Where(service => service.ImplementationType?.Assembly == typeof(IDataProtectionBuilder).Assembly && service.ServiceType == typeof(IHostedService)).ToList())
            builder.Services.Remove(eager);
        builder.Services.AddHostedService<ReadSessionKeys>();
    }
}

/// <summary>The table <c>data_protection_keys</c>. Synchronous because the framework's interface is; it is called at start-up and about once a day.</summary>
internal sealed class SessionKeyStore(NpgsqlDataSource database) : IXmlRepository
{
    public IReadOnlyCollection<XElement> GetAllElements()
    {
        using var connection = database.OpenConnection();
        using var command = connection.Command("select xml from data_protection_keys order by id");
        using var reader = command.ExecuteReader();
        var elements = new List<XElement>();
        while (reader.Read())
            elements.Add(XElement.Parse(reader.GetString(0)));
        return elements;
    }

    public void StoreElement(XElement element, string friendlyName)
    {
        using var connection = database.OpenConnection();
        using var command = connection.Command(
            "insert into data_protection_keys (name, xml) values ($1, $2)", friendlyName, element.ToString(SaveOptions.DisableFormatting));
        command.ExecuteNonQuery();
    }
}

/// <summary>Encrypts with the current internal token, decrypts with any accepted one. Without a token, which is possible in Development only, keys are stored unencrypted.</summary>
internal sealed class SessionKeyEncryption(InternalTokens tokens) : IXmlEncryptor
{
    private const int NonceBytes = 12;
    private const int TagBytes = 16;

    public EncryptedXmlInfo Encrypt(XElement plaintextElement)
    {
        if (tokens.Current is not { } token)
            return new(plaintextElement, typeof(NullXmlDecryptor));

        var plain = Encoding.UTF8.GetBytes(plaintextElement.ToString(SaveOptions.DisableFormatting));
        var sealedBytes = new byte[NonceBytes + TagBytes + plain.Length];
        RandomNumberGenerator.Fill(sealedBytes.AsSpan(0, NonceBytes));
        using var cipher = CipherOf(token);
        cipher.Encrypt(sealedBytes.AsSpan(0, NonceBytes), plain, sealedBytes.AsSpan(NonceBytes + TagBytes), sealedBytes.AsSpan(NonceBytes, TagBytes));
        return new(new XElement("sealed", Convert.ToBase64String(sealedBytes)), typeof(SessionKeyDecryption));
    }

    public XElement Decrypt(XElement encryptedElement)
    {
        var sealedBytes = Convert.FromBase64String(encryptedElement.Value).AsSpan();
        var plain = new byte[sealedBytes.Length - NonceBytes - TagBytes];
        foreach (var token in tokens.All)
        {
            using var cipher = CipherOf(token);
            try
            {
                cipher.Decrypt(sealedBytes[..NonceBytes], sealedBytes[(NonceBytes + TagBytes)..], sealedBytes.Slice(NonceBytes, TagBytes), plain);
                return XElement.Parse(Encoding.UTF8.GetString(plain));
            }
            catch (AuthenticationTagMismatchException)
            {
                // Encrypted with another token.
            }
        }

        throw new CryptographicException("The key was encrypted with an internal token that is no longer accepted.");
    }

    private static AesGcm CipherOf(string token) =>
        new(HKDF.DeriveKey(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(token), outputLength: 32, info: "platform session keys"u8.ToArray()), TagBytes);
}

/// <summary>Decrypts a key. The framework instantiates this type by its name, which is stored in the key's XML.</summary>
internal sealed class SessionKeyDecryption(IServiceProvider services) : IXmlDecryptor
{
    public XElement Decrypt(XElement encryptedElement) => services.GetRequiredService<SessionKeyEncryption>().Decrypt(encryptedElement);
}

/// <summary>Loads the keys right after the migrations, so that pages work also if the database becomes unavailable later.</summary>
internal sealed partial class ReadSessionKeys(DatabaseMigrations migrations, IDataProtectionProvider protection, ILogger<ReadSessionKeys> logger) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        try
        {
            await Task.Run(() => protection.CreateProtector("start").Protect([0]), stoppingToken);
        }
        catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
        {
            // The first page that needs the keys tries again.
            LogNotRead(logger, exception.Message);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Could not load the session keys yet: {Reason}")]
    private static partial void LogNotRead(ILogger logger, string reason);
}
