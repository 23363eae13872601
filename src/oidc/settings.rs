//! What has to be known about a provider before anything is asked of it.

use super::issuer::IssuerUrl;
use super::roots::Roots;
use super::secret::ClientSecret;

/// The settings of one provider, as the configuration has them.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The provider.
    pub issuer: IssuerUrl,
    /// The name under which the provider knows this program.
    pub client_id: String,
    /// The secret that goes with it; a public client has none.
    pub client_secret: Option<ClientSecret>,
    /// Where the provider sends the browser back to: the same text as is registered there.
    pub redirect_url: String,
    /// What is asked for. `openid` is added if it is not among them.
    pub scopes: Vec<String>,
    /// The claim with the name that people read.
    pub name_claim: String,
    /// Which claims give which roles.
    pub claims_to_roles: Vec<ClaimToRoles>,
    /// Who may vouch for the provider's certificate.
    pub roots: Roots,
}

/// One value of one claim, and the roles that come with it.
///
/// The value is compared, case and all, with a string, with each member of an array, and with a number
/// or a boolean as JSON writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToRoles {
    /// The name of the claim, a member of the ID token itself.
    pub claim: String,
    /// The value that it has, or has among others.
    pub value: String,
    /// The roles.
    pub roles: Vec<String>,
}
